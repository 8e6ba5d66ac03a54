// The console's languages.
import { expect, test } from "vitest";
import { languageOf } from "../../worker/console/language.ts";
import { DICTIONARIES, wordsIn } from "../../worker/console/pages/words.ts";

const placesIn = (text: string) => (text.match(/\{\w+\}/g) ?? []).toSorted();

test("every text is there in both languages, with the same values in it", () => {
  const { en, ja } = DICTIONARIES;
  expect(Object.keys(ja)).toEqual(Object.keys(en));
  for (const [key, text] of Object.entries(en)) {
    const other = ja[key as keyof typeof ja];
    expect([key, text.trim(), other.trim(), placesIn(other)]).toEqual([
      key,
      expect.stringMatching(/./),
      expect.stringMatching(/./),
      placesIn(text),
    ]);
  }
});

test("Japanese texts are Japanese, but for names", () => {
  const same = Object.entries(DICTIONARIES.ja).filter(
    ([, text]) => !/[\u3040-\u30ff\u4e00-\u9fff]/.test(text),
  );
  expect(same.map(([key]) => key)).toEqual(["gpu", "as_json"]);
});

test.each([
  ["ja", "en", "ja"],
  ["", "ja,en;q=0.8", "ja"],
  ["", "en-US,en;q=0.9,ja;q=0.8", "en"],
  ["", "fr, ja-JP;q=0.5, en;q=0.1", "ja"],
  ["", "de", "en"],
  ["", "ja;q=0", "en"],
  ["xx", "*", "en"],
])("chosen %j and accepted %j is %s", (chosen, accepted, language) => {
  expect(languageOf(chosen === "" ? undefined : chosen, accepted)).toBe(language);
});

test("a value is put in where its name stands, and never read for names itself", () => {
  expect(wordsIn("en")("is_busy_waiting", { running: "{waiting}", waiting: 2 })).toContain(
    "{waiting} jobs are running, 2 are waiting",
  );
});
