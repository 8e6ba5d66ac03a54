// Every search service keeps the same promises.
import { afterAll } from "vitest";
import { searchCases } from "../conformance/search.cases.ts";
import { runSuite } from "../conformance/suite.ts";
import { SERVICES, type Served, serveService } from "./services.ts";

const opened: Served[] = [];
afterAll(() => Promise.all(opened.map((one) => one[Symbol.asyncDispose]())));

for (const { name, title } of Object.values(SERVICES))
  runSuite(
    title,
    searchCases,
    async () => {
      const served = await serveService(name);
      opened.push(served);
      return served;
    },
    {},
  );
