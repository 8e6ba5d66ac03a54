// Whether a heading only repeats the title of its page. Pure.

const plain = (text: string) =>
  text
    .normalize("NFKC")
    .toLowerCase()
    .replaceAll(/[\s\p{P}\p{S}]+/gu, " ")
    .trim();

/** Titles of pages often name their site too: "The bread - Nonane News". */
export function isTitle(heading: string, title: string): boolean {
  const own = plain(heading);
  if (own === "") return false;
  return own === plain(title) || title.split(/\s[-–—|:·»]\s|[|｜]/).some((part) => plain(part) === own);
}
