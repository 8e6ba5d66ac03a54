// The languages of the console: which one a reader gets, and how a text with values in it is filled. The texts are in words-en.ts and
// words-ja.ts.
import { en } from "./words-en.ts";
import { ja } from "./words-ja.ts";

export type WordKey = keyof typeof en;
export type Dictionary = Record<WordKey, string>;

export const LANGUAGES = { en: "English", ja: "日本語" } as const;
export type Language = keyof typeof LANGUAGES;

export const DICTIONARIES: Record<Language, Dictionary> = { en, ja };

export type Words = (key: WordKey, values?: Record<string, string | number>) => string;

/** The one that the reader chose, or else the first in his browser's list that the console has. */
export function languageOf(chosen: string | undefined, accepted = ""): Language {
  if (chosen === "en" || chosen === "ja") return chosen;
  const wanted = accepted
    .split(",")
    .map((one) => {
      const [tag = "", ...rest] = one.trim().toLowerCase().split(";");
      const weight = Number(rest.find((part) => part.trim().startsWith("q="))?.split("=")[1] ?? 1);
      return { tag: tag.split("-")[0]!, weight: Number.isNaN(weight) ? 0 : weight };
    })
    .filter(({ weight }) => weight > 0)
    .toSorted((one, other) => other.weight - one.weight);
  return wanted.map(({ tag }) => tag).find((tag) => tag === "en" || tag === "ja") ?? "en";
}

export const wordsIn =
  (language: Language): Words =>
  (key, values = {}) =>
    DICTIONARIES[language][key].replaceAll(/\{(\w+)\}/g, (whole, name: string) =>
      name in values ? String(values[name]) : whole,
    );
