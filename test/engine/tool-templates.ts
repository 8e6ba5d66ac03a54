// Chat templates that write calls as the known families do, made for the tests: each shows its tools and writes calls and results in
// its family's form.

const CHATML_BEGIN = `{% if tools %}<|im_start|>system
{% for tool in tools %}{{ tool | tojson }}
{% endfor %}<|im_end|>
{% endif %}`;

/** Hermes and Qwen: one block a call. */
export const HERMES = String.raw`${CHATML_BEGIN}{% for m in messages %}{% if m.role == 'tool' %}<|im_start|>user
<tool_response>
{{ m.content }}
</tool_response><|im_end|>
{% else %}<|im_start|>{{ m.role }}
{{ m.content }}{% for call in m.tool_calls or [] %}{% if m.content or not loop.first %}{{ '\n' }}{% endif %}{{ '<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' }}{{ call.function.arguments | tojson }}{{ '}\n</tool_call>' }}{% endfor %}<|im_end|>
{% endif %}{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}`;

/** Qwen 3: the same, and it thinks. */
export const THINKING_HERMES = HERMES.replace(
  "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}",
  String.raw`{% if add_generation_prompt %}<|im_start|>assistant
{% if enable_thinking is defined and enable_thinking is false %}{{ '<think>\n\n</think>\n\n' }}{% endif %}{% endif %}`,
);

/** Llama 3: an object without a mark, and only one call in an answer. */
export const LLAMA = `{% if tools %}<|start_header_id|>system<|end_header_id|>

{% for tool in tools %}{{ tool | tojson(indent=4) }}{% endfor %}<|eot_id|>{% endif %}{% for m in messages %}{% if m.role == 'tool' %}<|start_header_id|>ipython<|end_header_id|>

{{ m.content | tojson }}<|eot_id|>{% elif 'tool_calls' in m %}{% if m.tool_calls | length != 1 %}{{ raise_exception("one call only") }}{% endif %}<|start_header_id|>assistant<|end_header_id|>

{{ '{"name": "' + m.tool_calls[0].function.name + '", ' }}{{ '"parameters": ' }}{{ m.tool_calls[0].function.arguments | tojson }}{{ "}" }}<|eot_id|>{% else %}<|start_header_id|>{{ m.role }}<|end_header_id|>

{{ m.content | trim }}<|eot_id|>{% endif %}{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>

{% endif %}`;

/** Mistral up to version 7: a list of objects with ids of nine letters. */
export const MISTRAL = `{% if tools %}[AVAILABLE_TOOLS] {{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif %}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }}[/INST]{% elif m.role == 'tool' %}[TOOL_RESULTS] {"content": {{ m.content }}, "call_id": "{{ m.tool_call_id }}"}[/TOOL_RESULTS]{% elif m.tool_calls %}{{ '[TOOL_CALLS] [' }}{% for call in m.tool_calls %}{% if call.id | length != 9 %}{{ raise_exception("ids have nine letters") }}{% endif %}{{ (call.function | tojson)[:-1] + ', "id": "' + call.id + '"}' }}{% if not loop.last %}, {% endif %}{% endfor %}{{ ']</s>' }}{% else %}{{ ' ' + m.content + '</s>' }}{% endif %}{% endfor %}`;

/** Mistral's later form: the name stands before the object. */
export const LATE_MISTRAL = `{% if tools %}[AVAILABLE_TOOLS]{{ tools | tojson }}[/AVAILABLE_TOOLS]{% endif %}{% for m in messages %}{% if m.role == 'user' %}[INST]{{ m.content }}[/INST]{% elif m.role == 'tool' %}[TOOL_RESULTS]{{ m.content }}[/TOOL_RESULTS]{% elif m.tool_calls %}{% for call in m.tool_calls %}{{ '[TOOL_CALLS]' + call.function.name + '[ARGS]' }}{{ call.function.arguments | tojson }}{% endfor %}{{ '</s>' }}{% else %}{{ m.content + '</s>' }}{% endif %}{% endfor %}`;

/** DeepSeek: arguments are JSON already, in a block of code. */
export const DEEPSEEK =
  String.raw`{% if tools %}{% for tool in tools %}{{ tool.function.name }}: {{ tool.function.parameters | tojson }}
{% endfor %}{% endif %}{% for m in messages %}{% if m.role == 'user' %}{{ '<｜User｜>' + m.content }}{% elif m.role == 'tool' %}{{ '<｜tool▁output▁begin｜>' + m.content + '<｜tool▁output▁end｜>' }}{% elif m.tool_calls %}{{ '<｜Assistant｜><｜tool▁calls▁begin｜>' }}{% for call in m.tool_calls %}{% if not loop.first %}{{ '\n' }}{% endif %}{{ '<｜tool▁call▁begin｜>function<｜tool▁sep｜>' + call.function.name + '\n` +
  "```json\\n' + call.function.arguments + '\\n```" +
  `<｜tool▁call▁end｜>' }}{% endfor %}{{ '<｜tool▁calls▁end｜><｜end▁of▁sentence｜>' }}{% else %}{{ '<｜Assistant｜>' + m.content + '<｜end▁of▁sentence｜>' }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% endif %}`;

/** Qwen's coder: no JSON. */
export const XML = HERMES.replace(
  "{{ call.function.arguments | tojson }}{{ '}\\n</tool_call>' }}",
  "{% for key, value in call.function.arguments | items %}<parameter={{ key }}>{{ value }}</parameter>{% endfor %}</tool_call>",
);

/** No place for tools. */
export const CHATML =
  "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
