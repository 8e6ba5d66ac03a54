// Which job kills the engine; pure. When the engine dies, every job that was running counts a death, because nobody can tell
// which of them caused it. After two deaths a job runs alone. If it then ends without a death, it was not the cause; if
// the engine dies again, it was. After deaths in a row runner/suspects.ts lets a job run alone earlier. Still two deaths prove
// nothing, even if the job was alone at one: where an engine dies for another reason every few seconds, that happens to any job.
//
//     deaths beside other jobs    0 or 1: run with the others    2 or more: run alone
//     deaths while alone          0: go on                       1 or more, and three deaths in all: give the job up
//     deaths in all               5 or fewer: see above          6: give the job up, whoever was beside it
//
// Alone means alone in this worker. Where several workers share one engine, another worker's job may have caused the death.
// By default each worker has an engine of its own.

export type Deaths = { beside: number; alone: number };

export const NO_DEATHS: Deaths = { beside: 0, alone: 0 };
const ALONE_AFTER = 2;
/** As many as a job has that runs alone after `ALONE_AFTER` and is the cause. */
const PROOF = 3;
/** A job is alone for a while only, so one that kills the engine late is never seen doing it alone. */
const MOST_DEATHS = 6;

export const totalOf = ({ beside, alone }: Deaths) => beside + alone;
export const mustRunAlone = ({ beside, alone }: Deaths) => beside >= ALONE_AFTER || alone > 0;
export const killsEngine = (deaths: Deaths) =>
  (deaths.alone > 0 && totalOf(deaths) >= PROOF) || totalOf(deaths) >= MOST_DEATHS;

export const count = ({ beside, alone }: Deaths, wasAlone: boolean): Deaths =>
  wasAlone ? { beside, alone: alone + 1 } : { beside: beside + 1, alone };
