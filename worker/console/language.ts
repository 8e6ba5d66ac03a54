// Which language a reader gets.
import { parseAccept } from "hono/utils/accept";

export const LANGUAGES = { en: "English", ja: "日本語" } as const;
export type Language = keyof typeof LANGUAGES;

/** The one that the reader chose, or else the first in his browser's list that the console has. */
export function languageOf(chosen: string | undefined, accepted = ""): Language {
  if (chosen === "en" || chosen === "ja") return chosen;
  const wanted = parseAccept(accepted).filter(({ q }) => q > 0);
  const tags = wanted.map(({ type }) => type.toLowerCase().split("-")[0]);
  return tags.find((tag) => tag === "en" || tag === "ja") ?? "en";
}
