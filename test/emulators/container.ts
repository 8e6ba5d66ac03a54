// LocalStack's own image for machines with a container engine: the last version that starts without an account. Only install.ts
// pulls it, because a test run downloads nothing.
import { existsSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import type { Emulated } from "./start.ts";

export const IMAGE = "localstack/localstack:4.14.0";
const PORT = 4566;

// Loading the library takes longer than looking for a socket.
const SOCKETS = [
  "/var/run/docker.sock",
  join(homedir(), ".docker/run/docker.sock"),
  join(process.env.XDG_RUNTIME_DIR ?? "/run", "podman/podman.sock"),
];
const mayHaveEngine = () => process.env.DOCKER_HOST !== undefined || SOCKETS.some((path) => existsSync(path));

async function imageInEngine(image = IMAGE) {
  const { getContainerRuntimeClient, ImageName } = await import("testcontainers");
  return { store: (await getContainerRuntimeClient()).image, name: ImageName.fromString(image) };
}

/** Null when the container can be started. Otherwise the reason, for a skipped test. `how`: what brings the image. */
export async function whyNoContainer(
  image = IMAGE,
  how = "`npm run emulators` pulls it",
): Promise<string | null> {
  if (!mayHaveEngine()) return "there is no container engine here";
  try {
    const { store, name } = await imageInEngine(image);
    return (await store.exists(name)) ? null : `${image} is not here; ${how}`;
  } catch (thrown) {
    return `no container engine answers: ${(thrown as Error).message}`;
  }
}

/** Null when the image is there. Otherwise the reason. */
export async function pullImage(): Promise<string | null> {
  if (!mayHaveEngine()) return "there is no container engine here";
  try {
    const { store, name } = await imageInEngine();
    if (!(await store.exists(name))) await store.pull(name);
    return null;
  } catch (thrown) {
    return (thrown as Error).message;
  }
}

export async function startContainer(variables: Record<string, string>): Promise<Emulated> {
  const { GenericContainer, Wait } = await import("testcontainers");
  const container = await new GenericContainer(IMAGE)
    .withEnvironment(variables)
    .withExposedPorts(PORT)
    .withWaitStrategy(Wait.forHttp("/_localstack/health", PORT))
    .start();
  const endpoint = `http://${container.getHost()}:${container.getMappedPort(PORT)}`;
  return { endpoint, stop: async () => void (await container.stop()) };
}
