// The promises on moto, an AWS written by others from AWS's documentation.
import { EMULATORS, whyNot } from "../emulators/emulators.ts";
import { startEmulator } from "../emulators/start.ts";
import { locally, promisesOn } from "./emulated.ts";

async function start() {
  const { endpoint, stop } = await startEmulator(EMULATORS.moto);
  return { aws: locally(endpoint), stop };
}

const TWO_STEPS = "moto looks whether the condition is met and writes in two steps: now and then two win";

promisesOn("moto", whyNot(EMULATORS.moto), start, {
  sqs: {
    "a lease that another worker has by now is reported as lost":
      "moto lets an old receipt handle extend what another one holds, and says ok",
  },
  s3: {
    "of many who write one object where there is none, one does": TWO_STEPS,
    "of many who replace what they read, one does": TWO_STEPS,
  },
});
