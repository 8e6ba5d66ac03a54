// The languages of the console: which one a reader gets, and how a text with values in it is filled. The texts are in words-en.ts and
// words-ja.ts.
import { parseAccept } from "hono/utils/accept";
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
  const wanted = parseAccept(accepted).filter(({ q }) => q > 0);
  const tags = wanted.map(({ type }) => type.toLowerCase().split("-")[0]);
  return tags.find((tag) => tag === "en" || tag === "ja") ?? "en";
}

export const wordsIn =
  (language: Language): Words =>
  (key, values = {}) =>
    DICTIONARIES[language][key].replaceAll(/\{(\w+)\}/g, (whole, name: string) =>
      name in values ? String(values[name]) : whole,
    );
