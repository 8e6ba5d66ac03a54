// What a page's reader has at hand besides a clone: an AWS account, a system that starts services, a server of models. Each stands in for
// what is not on this machine, or must not be touched.
import { EMULATORS, whyNot } from "../emulators/emulators.ts";
import { startEmulator } from "../emulators/start.ts";
import { fileServer, MMPROJ, MODEL } from "../engine/download/file-server.ts";
import { isInstalled, Reader } from "./reader.ts";

type Opened = { reader: Reader; stop?: () => Promise<void> };
type World = { whyNot?: () => string | null; start: () => Promise<Opened> };

export const PLAIN: World = { start: async () => ({ reader: await Reader.start() }) };

/** An account in which everybody may do everything; who may do what is the matter of test/infra. */
const ACCOUNT: World = {
  whyNot: () => (isInstalled("aws") ? whyNot(EMULATORS.ministack) : "the AWS CLI is not installed"),
  async start() {
    const emulator = await startEmulator(EMULATORS.ministack);
    const reader = await Reader.start({
      AWS_ENDPOINT_URL: emulator.endpoint,
      AWS_REGION: "us-east-1",
      AWS_DEFAULT_REGION: "us-east-1",
      AWS_ACCESS_KEY_ID: "test",
      AWS_SECRET_ACCESS_KEY: "test",
      // The answer to what remove.sh asks.
      YES: "1",
    });
    return { reader, stop: emulator.stop };
  },
};

/** Linux with systemd's user instance, which keeps what was started in a file for each unit. */
const SYSTEMD = `state=$HOME/.units; mkdir -p "$state"
shift  # --user
case $1 in
  show) [ -e "$state/$2" ] && echo "LoadState=loaded
ActiveState=active
MainPID=812" || echo "LoadState=not-found
ActiveState=inactive
MainPID=0" ;;
  restart|start) touch "$state/\${!#}" ;;
  stop|disable) rm -f "$state/\${!#}" ;;
esac`;

const SERVICES: World = {
  whyNot: () => (process.platform === "linux" ? null : "only systemd has a stand-in"),
  async start() {
    const reader = await Reader.start({ USER: "anna" });
    reader.install("systemctl", SYSTEMD);
    reader.install("loginctl", "echo Linger=yes");
    reader.install("journalctl", 'echo "READY"');
    return { reader };
  },
};

/** A server that has the models of the page, all of them the demo's. */
const MODELS: World = {
  async start() {
    const server = await fileServer();
    server.behaviour.repository = { siblings: [{ rfilename: "mmproj-Qwen3VL-4B-Instruct-F16.gguf" }] };
    const files = { get: (name: string) => (name.startsWith("mmproj") ? MMPROJ : MODEL) };
    server.behaviour.files = new Proxy({}, { get: (_, name) => files.get(String(name)) });
    return { reader: await Reader.start({ HF_ENDPOINT: server.endpoint }), stop: server.close };
  },
};

/** Another server with OpenAI's API, on the port that llama-server has by default. */
const OTHER_ENGINE: World = {
  async start() {
    const reader = await Reader.start();
    const command = "./kamado engine --port 8080 --backend scripted";
    const started = reader.type({ command, output: ["...", "The engine is ready. ...", "..."] });
    await started.catch(async (thrown) => {
      await reader.stop();
      throw thrown;
    });
    return { reader };
  },
};

export const WORLDS: Record<string, World> = {
  "infra/README.md": ACCOUNT,
  "docs/getting-started-aws.md": ACCOUNT,
  "docs/service.md": SERVICES,
  "docs/getting-started.md": SERVICES,
  "docs/models.md": MODELS,
  "docs/other-engines.md": OTHER_ENGINE,
};
