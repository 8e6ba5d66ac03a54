// Which job kills the engine: pure. A job during which the engine died is counted, and so is everything that ran beside it,
// because nobody can tell which of them it was. From two deaths on a job runs alone: an innocent one is proven so by
// ending well, and only a death while alone says for certain who it was.
//
//     deaths beside others   0, 1: run with the others     2 and more: run alone
//     deaths while alone     0: go on                      1: put aside
//
// Alone means alone in this worker. Where several workers share one engine, a death while alone may still be another
// worker's: give each worker an engine of its own, as it has by default.

export type Deaths = { beside: number; alone: number };

export const NO_DEATHS: Deaths = { beside: 0, alone: 0 };
const SUSPECT_AFTER = 2;

export const mustRunAlone = ({ beside }: Deaths) => beside >= SUSPECT_AFTER;
export const isPoison = ({ alone }: Deaths) => alone > 0;
export const totalOf = ({ beside, alone }: Deaths) => beside + alone;

export const count = ({ beside, alone }: Deaths, wasAlone: boolean): Deaths =>
  wasAlone ? { beside, alone: alone + 1 } : { beside: beside + 1, alone };
