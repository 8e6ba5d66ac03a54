// The promises on LocalStack, a third AWS, written from what AWS itself was seen to answer.
import { EMULATORS, whyNot, whyNotAll } from "../emulators/emulators.ts";
import { startEmulator } from "../emulators/start.ts";
import { locally, promisesOn } from "./emulated.ts";

async function start() {
  const { endpoint, stop } = await startEmulator(EMULATORS.localstack);
  return { aws: locally(endpoint), stop };
}

promisesOn("LocalStack", whyNot(EMULATORS.localstack) ?? whyNotAll(), start, {
  sqs: {
    "a lease that another worker has by now is reported as lost":
      "LocalStack lets an old receipt handle extend what another one holds, and says ok",
  },
});
