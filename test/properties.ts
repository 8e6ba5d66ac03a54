// fast-check as every test uses it: the same cases in every run, so that a failure is nobody's bad luck. FC_SEED names
// others, and FC_SEED=random takes any; whatever fails says its seed.
import fc from "fast-check";

const SAME_FOR_ALL = 1;

function seedOf(asked: string | undefined): number {
  if (!asked) return SAME_FOR_ALL;
  const seed = asked === "random" ? Math.floor(Math.random() * 0x7fffffff) : Number(asked);
  if (!Number.isInteger(seed)) throw new Error(`FC_SEED: a whole number or "random", not ${asked}`);
  console.log(`FC_SEED=${seed}`);
  return seed;
}

fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: seedOf(process.env.FC_SEED) });

export default fc;
