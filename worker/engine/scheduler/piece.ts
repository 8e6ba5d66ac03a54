// What an answer is made of while it is generated, whatever makes it (generate.ts, generate-calls.ts) and whoever sends it.
import type { Outcome, Token } from "../generation/backend.ts";

/**
 * Text of the thought, of the answer or of a call's arguments, and the tokens it was made from. The first piece of a call has its id
 * and its name.
 */
export type Piece = {
  text: string;
  tokens: Token[];
  thought?: true;
  call?: { index: number; id?: string; name?: string };
};
export type OnPiece = (piece: Piece) => void;

/** How an answer ended. A backend does not know that it only repeats itself. */
export type Ended = Omit<Outcome, "finish"> & { finish: Outcome["finish"] | "repetition" };
