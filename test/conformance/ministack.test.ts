// The promises on MiniStack, an AWS that also deploys CloudFormation and enforces IAM; test/infra/ uses it for that.
import { EMULATORS, whyNot } from "../emulators/emulators.ts";
import { startEmulator } from "../emulators/start.ts";
import { locally, promisesOn } from "./emulated.ts";

async function start() {
  const { endpoint, stop } = await startEmulator(EMULATORS.ministack);
  return { aws: locally(endpoint), stop };
}

promisesOn("MiniStack", whyNot(EMULATORS.ministack), start, {
  sqs: { "deleting twice is no error": "MiniStack takes the receipt handle of a deleted message for none" },
});
