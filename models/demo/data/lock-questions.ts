// Yes/no questions about pictures of locks: input for image.check with the expected answer.
import { COLOUR_NAMES, drawLock, type LockMeta, type LockPicture } from "./locks.ts";
import { type Random, random } from "./random.ts";

export type PictureCase = { picture: LockPicture; question: string; expected: "y" | "n" };

const ORIENTATION = {
  horizontal: [
    "Is the door locked?",
    "Is it locked?",
    "Is the lock closed?",
    "Is the bar horizontal?",
    "Is the thumb-turn in the locked position?",
    "Did I lock the door?",
    "Is the front door locked?",
    "鍵は閉まっていますか？",
    "ドアの鍵はかかっていますか？",
  ],
  vertical: [
    "Is the door unlocked?",
    "Is it unlocked?",
    "Is the lock open?",
    "Is the bar vertical?",
    "Can the door be opened?",
    "Did I leave the door unlocked?",
    "Is the front door unlocked?",
    "鍵は開いていますか？",
  ],
};
const PRESENCE = ["Is there a lock?", "Can you see a lock?", "Does the picture show a thumb-turn?"];

export type LockQuestion = { question: string; expected: "y" | "n" };
const says = (is: boolean) => (is ? "y" : "n");

export function askOrientation(r: Random, meta: LockMeta): LockQuestion {
  const asked = r.pick(["horizontal", "vertical"] as const);
  return { question: r.pick(ORIENTATION[asked]), expected: says(meta.orientation === asked) };
}

/** A question about anything in the picture; mostly about how the bar stands, when there is one. */
export function askAnything(r: Random, meta: LockMeta): LockQuestion {
  const kind = r.next();
  if (!meta.present || kind < 0.12) return { question: r.pick(PRESENCE), expected: says(meta.present) };
  if (kind < 0.8) return askOrientation(r, meta);
  const colour = r.chance(0.5) ? meta.colour : r.pick(COLOUR_NAMES);
  return { question: `Is the bar ${colour}?`, expected: says(colour === meta.colour) };
}

/** Small versions of the sizes that people send: scaled down, a large picture looks the same. */
export function pictureSize(r: Random): { width: number; height: number } {
  const kind = r.next();
  const side = kind < 0.4 ? 64 : r.int(56, 224);
  if (kind < 0.75) return { width: side, height: side };
  const other = Math.max(48, Math.round(side * r.between(0.65, 1)));
  return r.chance(0.5) ? { width: side, height: other } : { width: other, height: side };
}

/** A lock and a question about whether it is locked. */
export function pictureCase(seed: number): PictureCase {
  const r = random(seed, "picture");
  const picture = drawLock({ seed, present: true, ...pictureSize(r) });
  return { picture, ...askOrientation(r, picture.meta) };
}
