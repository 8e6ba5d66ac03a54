// How a text of the console with values in it is filled. The texts are in words-en.ts and words-ja.ts.
import type { Language } from "../language.ts";
import { en } from "./words-en.ts";
import { ja } from "./words-ja.ts";

export type WordKey = keyof typeof en;
export type Dictionary = Record<WordKey, string>;

export const DICTIONARIES: Record<Language, Dictionary> = { en, ja };

export type Words = (key: WordKey, values?: Record<string, string | number>) => string;

export const wordsIn =
  (language: Language): Words =>
  (key, values = {}) =>
    DICTIONARIES[language][key].replaceAll(/\{(\w+)\}/g, (whole, name: string) =>
      name in values ? String(values[name]) : whole,
    );
