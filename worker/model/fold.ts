// A text as it reads once compatibility forms are plain (`ｉ` is `i`) and what cannot be seen is gone, for finding in it what
// somebody spelt to be overlooked. Pure, and linear in its length.

// White space is none of these, and stays.
const FOLDABLE = /[\p{Default_Ignorable_Code_Point}\p{Cf}]|(?![\0-\x7f])\p{Changes_When_NFKC_Casefolded}/gu;
const INVISIBLE = /^[\p{Default_Ignorable_Code_Point}\p{Cf}]/u;

export type Folded = {
  text: string;
  /** Where letters of it stand in the text it was made of; both in rising order. */
  placesOf(indexes: readonly number[]): number[];
};

export function fold(text: string): Folded {
  let folded = "";
  let copied = 0;
  // From `at` on, a letter's place in the text is its index and `by`.
  const shifts = [{ at: 0, by: 0 }];
  for (const { 0: found, index } of text.matchAll(FOLDABLE)) {
    const plain = INVISIBLE.test(found) ? "" : found.normalize("NFKC");
    if (plain === found) continue;
    folded += text.slice(copied, index) + plain;
    copied = index + found.length;
    shifts.push({ at: folded.length, by: copied - folded.length });
  }
  folded += text.slice(copied);
  return { text: folded, placesOf: (indexes) => shifted(indexes, shifts) };
}

function shifted(indexes: readonly number[], shifts: readonly { at: number; by: number }[]): number[] {
  let next = 0;
  return indexes.map((index) => {
    while (next + 1 < shifts.length && shifts[next + 1]!.at <= index) next += 1;
    return index + shifts[next]!.by;
  });
}
