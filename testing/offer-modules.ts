// For processes that run the tests of handlers: `node --import …/testing/offer-modules.ts --test`, which is what `kamado test` does.
import { offerModules } from "../worker/job/handler-imports.ts";

offerModules();
