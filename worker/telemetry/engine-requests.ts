// Measures every request to the engine: a span and the figures of metrics/. No text of a prompt or an answer is kept.
import type { WorkerMetrics } from "../metrics/worker-metrics.ts";
import type { AroundRequest, Measured } from "../model/model.ts";
import { codeOf, inSpan, type Tracer } from "../tracing/tracer.ts";

export function aroundRequests(options: {
  tracer: Tracer;
  metrics: Pick<WorkerMetrics, "engineAsked">;
  /** Of the engine. */
  url: string;
}): AroundRequest {
  const { tracer, metrics } = options;
  const { hostname, port, protocol } = new URL(options.url);
  const server = {
    "server.address": hostname,
    "server.port": Number(port || (protocol === "https:" ? 443 : 80)),
  };
  return (request, { engine, trace }, send) => {
    const { model, max_tokens, temperature } = request;
    const attributes = {
      "gen_ai.operation.name": "chat",
      "gen_ai.provider.name": engine,
      "gen_ai.request.model": model,
      "gen_ai.request.max_tokens": max_tokens,
      "gen_ai.request.temperature": temperature,
      ...server,
    };
    const name = model === undefined ? "chat" : `chat ${model}`;
    const began = performance.now();
    const tookMs = () => performance.now() - began;
    return inSpan(tracer, name, { parent: trace, kind: "client", attributes }, async (span) => {
      try {
        const answer = await send(span.trace ?? {});
        span.set(attributesOf(answer));
        metrics.engineAsked({ engine, model: answer.model, tookMs: tookMs(), tokens: tokensOf(answer) });
        return answer;
      } catch (thrown) {
        metrics.engineAsked({ engine, model: null, tookMs: tookMs(), error: codeOf(thrown) });
        throw thrown;
      }
    });
  };
}

const attributesOf = ({ model, promptTokens, completionTokens, cachedTokens }: Measured) => ({
  "gen_ai.response.model": model ?? undefined,
  "gen_ai.usage.input_tokens": promptTokens,
  "gen_ai.usage.output_tokens": completionTokens,
  "gen_ai.usage.cache_read.input_tokens": cachedTokens,
});

const tokensOf = ({ promptTokens, completionTokens, cachedTokens }: Measured) => ({
  input: promptTokens,
  output: completionTokens,
  cached: cachedTokens,
});
