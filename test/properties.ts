// fast-check with the same cases in every run, so that a failure can be repeated. FC_SEED sets another seed and FC_SEED=random a
// random one; a failure prints its seed.
import fc from "fast-check";

const DEFAULT_SEED = 1;

function seedOf(wanted: string | undefined): number {
  if (!wanted) return DEFAULT_SEED;
  const seed = wanted === "random" ? Math.floor(Math.random() * 0x7fffffff) : Number(wanted);
  if (!Number.isInteger(seed)) throw new Error(`FC_SEED: a whole number or "random", not ${wanted}`);
  console.log(`FC_SEED=${seed}`);
  return seed;
}

fc.configureGlobal({ ...fc.readConfigureGlobal(), seed: seedOf(process.env.FC_SEED) });

export default fc;
