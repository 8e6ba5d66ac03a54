// Invented words: towns, family names and things that no word list holds, so that the model learns to copy.
import type { Random } from "./random.ts";

const SYLLABLES =
  "ba be bo da do fa fe ga ha ja ka ke ki ko la le li lo lu ma me mi mo na ne ni no pa pe po ra re ri ro ru sa se so su ta te ti to va ve vi wa ya yo za".split(
    " ",
  );
const ENDINGS = "n r s l m k t nd rk st lm ck th".split(" ");
const FIRST_NAMES =
  "Anna Ben Clara David Emma Felix Greta Hugo Iris Jonas Kenji Lena Marco Nina Oscar Paula Ravi Sofia Tom Ursula Victor Wendy Yuki Zoe Aiko Hiro Naoko Sara Paul Maria John Peter Alice".split(
    " ",
  );

const capital = (word: string) => word.charAt(0).toUpperCase() + word.slice(1);

export function word(r: Random): string {
  const syllables = Array.from({ length: r.int(2, 3) }, () => r.pick(SYLLABLES)).join("");
  return r.chance(0.5) ? syllables + r.pick(ENDINGS) : syllables;
}

export const properWord = (r: Random) => capital(word(r));
export const firstName = (r: Random) => (r.chance(0.5) ? r.pick(FIRST_NAMES) : properWord(r));
export const fullName = (r: Random) => `${firstName(r)} ${properWord(r)}`;
