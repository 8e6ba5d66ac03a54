// /openapi.json: the description of the jobs API, made from the table in routes.ts and its schemas. Pure.
import { z } from "zod";
import { ERRORS, type ErrorCode } from "../errors.ts";
import { jsonSchemaOf } from "../job/kind-schemas.ts";
import { ROUTES, type Route } from "./routes.ts";
import { ANSWERS, EventsQuery, REQUESTS, Upload } from "./schemas.ts";

type Json = Record<string, unknown>;
const JSON_TYPE = "application/json";

const refTo = (id: string): Json => ({ $ref: `#/components/schemas/${id}` });
const nameOf = (schema: z.ZodType): string => (REQUESTS.get(schema) ?? ANSWERS.get(schema))!.id;
const content = (type: string, schema: Json, example?: unknown) => ({
  [type]: { schema, ...(example !== undefined && { example }) },
});

/** OpenAPI 3.1. */
export function openApiDocument(): Json {
  const paths: Record<string, Json> = {};
  for (const route of ROUTES)
    paths[route.path] = { ...paths[route.path], [route.method]: operationOf(route) };
  return {
    openapi: "3.1.0",
    info: {
      title: "Kamado jobs API",
      version: "1",
      description:
        "Sends jobs to a Kamado worker and shows what becomes of them. Every error has the shape of `Error`, with a stable code.",
      license: { name: "MIT", identifier: "MIT" },
    },
    servers: [{ url: "/" }],
    security: [{}, { token: [] }],
    paths: { ...paths, ...OTHERS },
    components: {
      schemas: { ...componentsOf(REQUESTS, "input"), ...componentsOf(ANSWERS, "output") },
      securitySchemes: {
        token: { type: "http", scheme: "bearer", description: "KAMADO_WEB_TOKEN, if it is set." },
      },
    },
  };
}

function componentsOf(registry: typeof REQUESTS, io: "input" | "output"): Json {
  const uri = (id: string) => `#/components/schemas/${id}`;
  const { schemas } = z.toJSONSchema(registry, { io, unrepresentable: "any", uri }) as {
    schemas: Record<string, Json>;
  };
  return Object.fromEntries(
    Object.entries(schemas).map(([id, { $schema: _, $id: _1, ...schema }]) => [id, schema]),
  );
}

function operationOf({ id, path, summary, description, query, body, example, answers, errors }: Route): Json {
  return {
    operationId: id,
    summary,
    ...(description !== undefined && { description }),
    ...parametersOf(path, query, HEADERS[id]),
    ...(body && {
      requestBody: {
        required: id !== "replayJob",
        content: content(JSON_TYPE, refTo(nameOf(body)), example),
      },
    }),
    responses: {
      ...Object.fromEntries(
        Object.entries(answers).map(([status, { what, schema }]) => [
          status,
          { description: what, content: content(JSON_TYPE, refTo(nameOf(schema))) },
        ]),
      ),
      ...errorsOf(body ? [...errors, "unsupported_media_type", "body_too_large"] : errors),
    },
  };
}

/** The headers that an operation reads. */
const HEADERS: Record<string, readonly string[]> = {
  sendJob: ["Idempotency-Key", "traceparent", "tracestate"],
  putJob: ["traceparent", "tracestate"],
};

function parametersOf(path: string, query: z.ZodObject | undefined, headers: readonly string[] = []): Json {
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
  const { properties = {}, required = [] } = (query ? jsonSchemaOf(query, "input") : {}) as {
    properties?: Record<string, Json>;
    required?: string[];
  };
  const inQuery = Object.entries(properties).map(([name, { description, ...schema }]) => ({
    name,
    in: "query",
    required: required.includes(name),
    ...(description !== undefined && { description }),
    schema,
  }));
  const inHeader = headers.map((name) => ({
    name,
    in: "header",
    required: false,
    schema: { type: "string" },
  }));
  const all = [...inPath, ...inQuery, ...inHeader];
  return all.length > 0 ? { parameters: all } : {};
}

/** One answer for each status, with the codes that have it. */
function errorsOf(codes: readonly ErrorCode[]): Json {
  const byStatus = Map.groupBy(new Set(codes), (code) => ERRORS[code].status);
  const answers = [...byStatus].map(([status, all]) => [
    String(status),
    {
      description: all.map((code) => `\`${code}\`: ${ERRORS[code].hint}`).join("\n\n"),
      content: content(JSON_TYPE, refTo("Error")),
    },
  ]);
  return Object.fromEntries(answers);
}

const BYTES = { type: "string", contentMediaType: "application/octet-stream" };

/** What is no JSON. */
const OTHERS: Record<string, Json> = {
  "/events": {
    get: {
      operationId: "streamEvents",
      summary: "Every change of a job, as server-sent events",
      description:
        "Events are `job` (a JobRow), `progress` ({id, done, what}) and `missed`: this reader was too slow or came back too late, and should read again what it shows. `Last-Event-ID` continues after a break.",
      ...parametersOf("/events", EventsQuery),
      responses: {
        200: {
          description: "The stream; it does not end.",
          content: content("text/event-stream", { type: "string" }),
        },
        ...errorsOf(["invalid_input", "too_many_readers"]),
      },
    },
  },
  "/uploads": {
    post: {
      operationId: "uploadFile",
      summary: "Upload a file for the input of a job",
      description:
        "The bytes as the body, or one file of a form. JPEG, PNG, WebP, GIF, HEIC, PDF or text, which is found out from the bytes.",
      parameters: [
        { name: "name", in: "query", required: false, schema: { type: "string", maxLength: 200 } },
      ],
      requestBody: {
        required: true,
        content: {
          ...content("application/octet-stream", BYTES),
          ...content("multipart/form-data", {
            type: "object",
            properties: { file: BYTES },
            required: ["file"],
          }),
        },
      },
      responses: {
        201: { description: "Where it is.", content: content(JSON_TYPE, refTo(nameOf(Upload))) },
        ...errorsOf(["invalid_input", "input_too_large", "file_type_refused", "storage_unavailable"]),
      },
    },
  },
  "/jobs/{id}/inputs/{name}": {
    get: {
      operationId: "getJobInput",
      summary: "A file that the input of a job names",
      description: "`name` is the field of the input, such as `image`.",
      ...parametersOf("/jobs/{id}/inputs/{name}", undefined),
      responses: {
        200: { description: "The file.", content: content("*/*", BYTES) },
        ...errorsOf([
          "invalid_input",
          "job_not_found",
          "object_not_found",
          "object_forbidden",
          "input_too_large",
          "storage_unavailable",
        ]),
      },
    },
  },
  "/openapi.json": {
    get: {
      operationId: "getDescription",
      summary: "This description",
      responses: { 200: { description: "OpenAPI 3.1.", content: content(JSON_TYPE, { type: "object" }) } },
    },
  },
};
