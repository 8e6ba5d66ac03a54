// A process of its own that says on stdout what the model it is given takes of memory; see need.ts.
import { estimate } from "./memory-need.ts";

process.stdout.write(`${JSON.stringify(await estimate(process.argv[2]!))}\n`);
process.exit(0);
