// A signed request to the REST API of the template, as an enqueuer with a key of IAM sends it; not signed without credentials.
import { createHash, createHmac } from "node:crypto";
import { request } from "node:http";
import { text } from "node:stream/consumers";
import { SignatureV4 } from "@smithy/signature-v4";
import type { AwsConfig } from "../../worker/aws/clients.ts";

/** The part of a hash that the signature needs. */
class Sha256 {
  readonly #hash;
  constructor(secret?: string | Uint8Array) {
    this.#hash = secret === undefined ? createHash("sha256") : createHmac("sha256", secret);
  }
  update(data: string | Uint8Array): void {
    this.#hash.update(data);
  }
  digest = async () => new Uint8Array(this.#hash.digest());
  reset(): void {}
}

const signerOf = ({ region, credentials }: AwsConfig) =>
  new SignatureV4({
    service: "execute-api",
    region: region!,
    credentials: credentials!,
    sha256: Sha256 as never,
  });

/** Sends to the endpoint. The emulator finds the API by its id in the name of the host, as AWS does, and has another domain. */
export async function post(config: AwsConfig, url: string, body: string, type = "application/json") {
  const { hostname: named, pathname: path } = new URL(url);
  const hostname = `${named.split(".")[0]}.execute-api.127.0.0.1`;
  const headers = { host: hostname, "content-type": type };
  const plain = { method: "POST", protocol: "https:", hostname, path, headers, body };
  const signed = config.credentials ? await signerOf(config).sign(plain) : plain;
  const { promise, resolve, reject } = Promise.withResolvers<{ status: number; text: string }>();
  request(new URL(path, config.endpoint), { method: "POST", headers: signed.headers })
    .on("error", reject)
    .on("response", (answer) =>
      text(answer).then((text) => resolve({ status: answer.statusCode!, text }), reject),
    )
    .end(body);
  return await promise;
}
