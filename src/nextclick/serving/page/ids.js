// Raw ids are numbers or text; 12 and "12" are two items.

const WHOLE = /^-?\d+$/;

/** What tells an id from all others. */
export const keyOf = (id) => (typeof id === "string" ? `'${id}` : String(id));

/** The id of a key. */
export function idOf(key) {
  if (!WHOLE.test(key)) return key.replace(/^'/, "");
  return Number.isSafeInteger(Number(key)) ? Number(key) : BigInt(key);
}

/** The id that was typed: of the kind that the catalog has. */
export const typedId = (text, sample) =>
  typeof sample !== "string" && WHOLE.test(text) ? idOf(text) : text;
