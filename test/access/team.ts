// A team of Cloudflare Access: its keys at an address of this machine, and assertions as Cloudflare makes them.
import { exportJWK, generateKeyPair, type JWTPayload, SignJWT } from "jose";
import { startReceiver } from "../fakes/receiver.ts";

export const TEAM = "https://my-team.cloudflareaccess.com";
export const AUDIENCE = "a".repeat(64);
export const READ_AUDIENCE = "b".repeat(64);
export const OTHER_AUDIENCE = "c".repeat(64);

type Pair = Awaited<ReturnType<typeof generateKeyPair>>;
const newPair = () => generateKeyPair("RS256", { extractable: true });

export type Team = AsyncDisposable & {
  keysUrl: string;
  /** How often the keys were asked for. */
  asked(): number;
  /** The key that signs from now on. The ones before stay in the list. */
  rotate(kid: string): Promise<void>;
  /** What is answered instead of the keys; undefined: the keys. */
  answer: { status: number; body: string } | undefined;
  assertion(claims?: JWTPayload & { kid?: string }, by?: Pair): Promise<string>;
};

export async function startTeam(): Promise<Team> {
  const keys = new Map<string, Pair>();
  let newest = "first";
  const published: object[] = [];
  const receiver = await startReceiver((_, response) => {
    const { status, body } = team.answer ?? { status: 200, body: JSON.stringify({ keys: published }) };
    response.writeHead(status, { "content-type": "application/json" }).end(body);
  });
  const team: Team = {
    keysUrl: `${receiver.url}/cdn-cgi/access/certs`,
    asked: () => receiver.received.length,
    answer: undefined,
    async rotate(kid) {
      const pair = await newPair();
      keys.set(kid, pair);
      published.push({ ...(await exportJWK(pair.publicKey)), kid, alg: "RS256", use: "sig" });
      newest = kid;
    },
    assertion({ kid = newest, ...claims } = {}, by = keys.get(newest)!) {
      const soon = Math.floor(Date.now() / 1_000) + 600;
      const all = {
        iss: TEAM,
        aud: [AUDIENCE],
        email: "me@example.com",
        iat: soon - 600,
        exp: soon,
        ...claims,
      };
      return new SignJWT(all).setProtectedHeader({ alg: "RS256", kid }).sign(by.privateKey);
    },
    [Symbol.asyncDispose]: () => receiver[Symbol.asyncDispose](),
  };
  await team.rotate(newest);
  return team;
}
