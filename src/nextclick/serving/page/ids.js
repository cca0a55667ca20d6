// Raw ids are numbers or text; 12 and "12" are different items.

const WHOLE = /^-?\d+$/;

/** A key that is unique for each id. */
export const keyOf = (id) => (typeof id === "string" ? `'${id}` : String(id));

/** The id of a key. */
export function idOf(key) {
  if (!WHOLE.test(key)) return key.replace(/^'/, "");
  return Number.isSafeInteger(Number(key)) ? Number(key) : BigInt(key);
}

/** A typed id, converted to the type of the ids in the catalog. */
export const typedId = (text, sample) =>
  typeof sample !== "string" && WHOLE.test(text) ? idOf(text) : text;
