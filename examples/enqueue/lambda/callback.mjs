// A complete Lambda (Node.js 22 or later) behind a function URL: receives callbacks, and believes only those that Kamado signed. Deploy it as
// index.mjs says. The worker's destinations file needs an entry for the URL with the same secret.
//
//   HOOK_SECRET   whsec_…
import { KamadoError, verifyCallback } from "kamado/client";

export async function handler({ headers, body = "", isBase64Encoded }) {
  try {
    const raw = isBase64Encoded ? Buffer.from(body, "base64") : body;
    const { id, result } = verifyCallback({ headers, body: raw, secret: process.env.HOOK_SECRET });
    // Put your work here. Remember `id`: a delivery may come twice.
    console.log(JSON.stringify({ id, job: result.id, status: result.status, output: result.output }));
    return { statusCode: 204 };
  } catch (error) {
    if (!(error instanceof KamadoError)) throw error;
    return {
      statusCode: error.status,
      body: JSON.stringify({ error: { code: error.code, message: error.message } }),
    };
  }
}
