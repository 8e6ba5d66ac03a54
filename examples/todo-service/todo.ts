// A todo, and which changes to it are allowed. Pure.
import { z } from "zod";

const Title = z.string().trim().min(1).max(500);
const Category = z.string().trim().min(1).max(100);
const NoteText = z.string().trim().min(1).max(10_000);
export const Status = z.enum(["open", "done"]);

export type Note = { text: string; at: string };

export type Todo = {
  id: string;
  title: string;
  category?: string;
  status: z.output<typeof Status>;
  notes: Note[];
  createdAt: string;
  updatedAt: string;
};

export const NewTodo = z.strictObject({
  title: Title,
  category: Category.optional(),
  note: NoteText.optional(),
});
export type NewTodo = z.output<typeof NewTodo>;

/** Absent fields stay as they are. A note is added to the existing ones. */
export const TodoChange = z
  .strictObject({
    title: Title.optional(),
    category: Category.nullable().optional(),
    status: Status.optional(),
    note: NoteText.optional(),
  })
  .refine((change) => Object.keys(change).length > 0, "give at least one of title, category, status, note");
export type TodoChange = z.output<typeof TodoChange>;

export function newTodo(id: string, { title, category, note }: NewTodo, at: string): Todo {
  const notes = note === undefined ? [] : [{ text: note, at }];
  return { id, title, ...(category && { category }), status: "open", notes, createdAt: at, updatedAt: at };
}

export function changed(todo: Todo, { title, category, status, note }: TodoChange, at: string): Todo {
  const { category: before, ...rest } = todo;
  const kept = category === undefined ? before : category;
  return {
    ...rest,
    title: title ?? todo.title,
    ...(kept && { category: kept }),
    status: status ?? todo.status,
    notes: note === undefined ? todo.notes : [...todo.notes, { text: note, at }],
    updatedAt: at,
  };
}
