// A process of its own for local-aws.test.ts to kill: starts the embedded AWS and says where it is.
import { startLocalAws } from "../../worker/local/local-aws.ts";

const { endpoint } = await startLocalAws({ port: 0, dataDir: process.argv[2]! });
process.stdout.write(`${endpoint}\n`);
