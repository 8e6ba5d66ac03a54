// Written by `npm run client:kinds` from handlers/ and worker/job/result.ts. Do not edit.

/** An address (s3://bucket/key, https://… or a data: URI), or the bytes themselves: they are uploaded to the bucket. */
export type Address = string | Uint8Array | Blob;

/** What each kind of job takes and gives. */
export type Kinds = {
  /** Answers questions about an article and lists its facts, each with the sentence that proves it. */
  "article.extract": {
    input: {
      /** The article as plain text. */
      text?: string | undefined;
      /** The article as a page; its body is found by itself. */
      html?: string | undefined;
      /** The article as an object in the bucket: HTML, a PDF, a feed, Markdown or plain text. */
      s3?: Address | undefined;
      /** The article's address, https://…, s3://… or a data: URI: a page, a PDF, a feed or plain text. */
      url?: string | undefined;
      /** What you want to know. An entry that is no question is left out. */
      questions?: string[] | undefined;
      /** The most facts to list; 0 for none. */
      maxFacts?: number | undefined;
      /** The answers' language; the article's by default. */
      language?: string | undefined;
      /** About how many tokens to spend on prompts and answers [500,000]. Of an article that takes more, the parts that fit the questions best are read; `unread` says what was not. */
      maxTokens?: number | undefined;
    };
    output: {
      /** How many entries of the list could not be used, and why: at most five reasons. */
      leftOut?: {
        count: number;
        reasons: string[];
      } | undefined;
      /** What is known of the page. */
      page?: {
        title?: string | undefined;
        /** The address that answered, after redirects. */
        url?: string | undefined;
        /** The address that the page names as its own. */
        canonicalUrl?: string | undefined;
        byline?: string | undefined;
        site?: string | undefined;
        published?: string | undefined;
        language?: string | undefined;
        format: "html" | "feed" | "pdf" | "markdown" | "text";
      } | undefined;
      /** Only the part before a paywall could be read. */
      obstacle?: "paywall" | undefined;
      answers: {
        question: string;
        answer: string | null;
        evidence: string | null;
        /** Sentences of other parts of the article that say the same. */
        moreEvidence?: string[] | undefined;
        /** What fewer or later parts of the article say. */
        alternatives?: {
          answer: string;
          evidence: string;
          /** Sentences of other parts of the article that say the same. */
          moreEvidence?: string[] | undefined;
          /** It and the answer cannot both be true. */
          contradicts?: true | undefined;
        }[] | undefined;
        /** Why there is no answer, where the model's own was of no use: answer_invalid or answer_repetitive. */
        reason?: string | undefined;
      }[];
      facts: {
        fact: string;
        evidence: string;
        /** Sentences of other parts of the article that say the same. */
        moreEvidence?: string[] | undefined;
        /** The places in this list, from 0 on, of facts that cannot be true beside it. */
        contradicts?: number[] | undefined;
      }[];
      /** Why facts of some parts are missing: the model's list was of no use. */
      factsReason?: string | undefined;
      /** The parts for which the budget of tokens or requests did not suffice. */
      unread?: {
        chunks: number;
        characters: number;
        /** The headings above them, at most fifty. */
        sections: string[];
      } | undefined;
    };
  };
  /** Answers a yes/no question about a picture. */
  "image.check": {
    input: {
      /** The picture: s3://bucket/key, https://… or a data: URI. */
      image: Address;
      /** A question whose answer is yes or no. */
      question: string;
      /** Below this probability the answer is uncertain. */
      threshold?: number | undefined;
    };
    output: {
      answer: "y" | "n" | "uncertain";
      /** The probability of y. */
      probability: number;
    };
  };
  /** Answers a question from the web or from given pages; each claim of the report has a quote that stands in its source. */
  "knowledge.research": {
    input: {
      /** What you want to know. */
      question: string;
      /** Pages to read. With them nothing is searched, unless search says so. */
      urls?: string[] | undefined;
      /** Whether to search the web; by default only without urls. */
      search?: boolean | undefined;
      /** How many searches to make. */
      keywords?: number | undefined;
      /** How many pages of each search to read. */
      pagesPerKeyword?: number | undefined;
      /** How many pages to read at most. */
      maxPages?: number | undefined;
      /** The report's language; the question's by default. */
      language?: string | undefined;
      /** About how many tokens of pages the model may read; the most promising parts come first. */
      maxTokens?: number | undefined;
      /** After so long the report is made of what is there; the job's own time limit holds as well. */
      maxMinutes?: number | undefined;
    };
    output: {
      question: string;
      /** Whether any claim about the question was found. */
      found: boolean;
      /** The answer's sentences, each with the claims that it rests on. */
      answer: {
        text: string;
        claims: number[];
      }[];
      claims: {
        number: number;
        claim: string;
        /** Each source that says so, with its quote. */
        sources: {
          /** The number of the source. */
          source: number;
          /** A sentence that stands in the source, word for word. */
          quote: string;
          /** The headings above it. */
          heading?: string | undefined;
        }[];
      }[];
      /** Pairs of claims that cannot both be true. */
      contradictions: unknown[][];
      sources: {
        number: number;
        url: string;
        /** Other addresses at which the same text stands. */
        alsoAt: string[];
        title: string | null;
        site: string | null;
        published: string | null;
        language: string | null;
        format: string;
        /** The claims that it supports. */
        claims: number[];
        /** Its parts, and how many the model was asked about. */
        chunks: {
          total: number;
          asked: number;
        };
        note?: string | undefined;
      }[];
      searches: {
        query: string;
        found: number;
        note?: string | undefined;
      }[];
      /** What could not be searched, read or asked, and why. */
      failures: {
        step: "keywords" | "search" | "page" | "chunk" | "answer";
        /** The words of the search, or the address of the page. */
        what: string;
        code: string;
        reason: string;
      }[];
      /** What was left unread, and why. */
      notRead: string[];
      /** Claims whose quote does not stand in their source, and sentences without a claim that supports them. */
      dropped: {
        claims: number;
        sentences: number;
      };
      /** Why this is only a part of what could be found; empty when it is whole. */
      partial: string[];
      notes: string[];
      model: string | null;
      /** Of this run. */
      durationMs: number;
      /** What asking the chunks was estimated to take, and what it took. */
      estimate: {
        /** By the rates measured before; null where none were. */
        seconds: number | null;
        tookSeconds: number;
        promptTokens: number;
        completionTokens: number;
      };
      /** Of this run. */
      tokens: {
        prompt: number;
        cached: number;
        completion: number;
      };
      /** What an earlier run of the same job had done. */
      resumed?: {
        searches: number;
        pages: number;
        chunks: number;
      } | undefined;
      /** The report for people. */
      markdown: string;
    };
  };
  /** Passes a request of OpenAI's API to the engine and gives its whole answer. */
  "openai.request": {
    input: {
      /** The endpoint of the API. */
      url: "/v1/chat/completions" | "/v1/completions";
      /** The request's body. Its pictures may be s3://bucket/key, https://… or data: URIs. */
      body: Record<string, unknown>;
    };
    output: Record<string, unknown>;
  };
  /** Runs a free prompt. With a JSON schema, the answer is a value that fits it. */
  "prompt": {
    input: {
      /** What you ask. */
      prompt: string;
      /** Your own instructions, as the system message. */
      system?: string | undefined;
      /** A picture: s3://bucket/key, https://… or a data: URI. */
      image?: Address | undefined;
      /** A JSON schema that the answer must fit. */
      schema?: Record<string, unknown> | undefined;
      /** The longest answer, in tokens. */
      maxTokens?: number | undefined;
    };
    output: {
      text: string;
      /** The text was cut off at maxTokens. */
      truncated?: true | undefined;
    } | {
      value: unknown;
    };
  };
  /** Summarises one text or many: a summary of each, and one of all. */
  "text.summarize": {
    input: {
      /** The text. */
      text?: string | undefined;
      /** Many texts: each a string, or {title, text}. */
      texts?: (string | {
        title?: string | undefined;
        text: string;
      })[] | undefined;
      /** The address of a page, a PDF, a feed or a text. */
      url?: Address | undefined;
      /** Several addresses. */
      urls?: string[] | undefined;
      /** One object in the bucket, or several: HTML, PDF, feeds, Markdown or plain text. */
      s3?: string | string[] | undefined;
      /** Of each summary: short (1 sentence), medium (3), long (8), or the most sentences. */
      length?: "short" | "medium" | "long" | number | undefined;
      /** The summaries' language; the text's by default. */
      language?: string | undefined;
      /** What the summaries should be about, in a few words. */
      focus?: string | undefined;
    };
    output: {
      /** Of all texts together. */
      summary: string;
      /** One for each text, in the order of the input. */
      summaries: {
        /** `text`, `texts.0`, the address, or for a data: URI its field. */
        source: string;
        title: string | null;
        summary: string | null;
        /** What is known of the page. */
        page?: {
          title?: string | undefined;
          /** The address that answered, after redirects. */
          url?: string | undefined;
          /** The address that the page names as its own. */
          canonicalUrl?: string | undefined;
          byline?: string | undefined;
          site?: string | undefined;
          published?: string | undefined;
          language?: string | undefined;
          format: "html" | "feed" | "pdf" | "markdown" | "text";
        } | undefined;
        /** Only the part before a paywall could be read. */
        obstacle?: "paywall" | undefined;
        /** Why there is no summary: an error's code and message. */
        failed?: {
          code: string;
          message: string;
        } | undefined;
        /** What the summary leaves out: the budget did not suffice, or the model found no words for it. */
        unread?: {
          parts: number;
          characters: number;
        } | undefined;
        /** Sentences that the model wrote and that were left out: they have numbers that are not in the text. */
        dropped?: string[] | undefined;
      }[];
      /** Sentences that the model wrote and that were left out: they have numbers that are not in the text. */
      dropped?: string[] | undefined;
    };
  };
  /** Matches a sentence in any wording to a todo, or proposes a new one. */
  "todo.match": {
    input: {
      /** The sentence. */
      text: string;
      /** The todos to choose from. An entry that is none is left out. */
      todos?: {
        /** The todo's id in your service. */
        id: string | number;
        /** What is to be done. */
        title: string;
        /** A category, such as shopping or home. */
        category?: string | null | undefined;
      }[] | undefined;
      /** An address that answers GET with the todos as JSON, an array of {id, title, category?}; or one that the owner's destinations file calls a todo service. */
      todosUrl?: string | undefined;
    };
    output: {
      action: "update" | "create" | "uncertain";
      /** update: the todo that is meant; uncertain: the most probable one, if any. */
      todoId?: string | undefined;
      /** The todo's title; create: a title for the new todo. */
      title: string;
      /** The probability of this action. */
      probability: number;
      /** How many entries of the list could not be used, and why: at most five reasons. */
      leftOut?: {
        count: number;
        reasons: string[];
      } | undefined;
    };
  };
};

/** What a job cost. */
export type Receipt = {
  /** The model that answered; null when no model was asked. */
  model: string | null;
  /** The engine that ran the model. */
  engine: string | null;
  /** How many requests the model answered; absent in older results. */
  requests?: number | undefined;
  /** How many requests were cut before their answer, because the job ended. promptTokens holds an estimate for them, completionTokens nothing. */
  unansweredRequests?: number | undefined;
  promptTokens: number;
  /** How many of promptTokens came from the cache. */
  cachedTokens: number;
  completionTokens: number;
  /** From sent to received. */
  queuedMs: number;
  /** From the first question to the last answer. */
  inferenceMs: number;
  /** How many runs of the handler were started, this one included. */
  attempts: number;
  /** How long this run took; absent in older results. */
  runMs?: number | undefined;
  /** How often the model had to be asked again because its answer did not fit. */
  repairs: number;
  /** How many answers were cut off at their token limit; absent when none was. */
  truncated?: number | undefined;
  /** The energy of GPU and CPU in this run, shared by the jobs that ran at the same time; absent where no watts can be read. */
  joules?: number | undefined;
  worker: string;
  /** Of the trace that the job belongs to; absent when it belongs to none. */
  traceId?: string | undefined;
};
