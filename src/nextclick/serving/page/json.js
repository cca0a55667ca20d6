// JSON with exact integers: ids have up to 19 digits, a double holds 15.

const MARK = "\u0001int:";
const TOKEN = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g;
const LONG = /^-?\d{16,}$/;
const MARKED = /"\\u0001int:(-?\d+)"/g;

/** Parse JSON; an integer that a double would round becomes a BigInt. */
export function readJSON(text) {
  const marked = text.replace(TOKEN, (found) =>
    LONG.test(found) && !Number.isSafeInteger(Number(found)) ? `"\\u0001int:${found}"` : found,
  );
  return JSON.parse(marked, (_, value) =>
    typeof value === "string" && value.startsWith(MARK) ? BigInt(value.slice(MARK.length)) : value,
  );
}

/** Serialize a value, with line breaks if an indent is given. */
export function writeJSON(value, indent) {
  const replacer = (_, held) => (typeof held === "bigint" ? `${MARK}${held}` : held);
  const marked = JSON.stringify(value, replacer, indent);
  return marked.replace(MARKED, "$1");
}
