// The llama-server that tests use: the one KAMADO_LLAMA_SERVER names, else the one that was built into the data folder.
import { homedir } from "node:os";
import { join } from "node:path";
import { findLlamaServer } from "../../../../worker/engine/install/place.ts";

const { KAMADO_LLAMA_SERVER: named, KAMADO_DATA_DIR: dataDir = join(homedir(), ".kamado") } = process.env;

export const LLAMA_SERVER: string | undefined = named || findLlamaServer(dataDir);
export const NO_LLAMA_SERVER =
  "no llama-server here: build one with `kamado engine install-llama-server`, or name one in KAMADO_LLAMA_SERVER";
