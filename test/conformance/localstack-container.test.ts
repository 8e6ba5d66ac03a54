// The promises on LocalStack's own image, where a container engine has it.
import { startContainer, whyNoContainer } from "../emulators/container.ts";
import { locally, promisesOn } from "./emulated.ts";

async function start() {
  const { endpoint, stop } = await startContainer({
    SERVICES: "sqs,sns,s3",
    DISABLE_EVENTS: "1",
    SKIP_SSL_CERT_DOWNLOAD: "1",
  });
  return { aws: locally(endpoint), stop };
}

promisesOn("LocalStack in a container", await whyNoContainer(), start, {
  sqs: {
    "a lease that another worker has by now is reported as lost":
      "LocalStack lets an old receipt handle extend what another one holds, and says ok",
  },
});
