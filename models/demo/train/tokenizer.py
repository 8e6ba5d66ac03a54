"""Byte-level BPE, the same as llama.cpp's `tokenizer.ggml.model = gpt2`, `tokenizer.ggml.pre = qwen2`."""

import collections
import json
import re

PAD, USER, ASSISTANT, END = range(4)
SPECIAL = ["<|pad|>", "<|u|>", "<|a|>", "<|e|>"]
# Python's re has no \p{L}: what is a word character but neither a digit nor "_" comes close enough for our texts.
PIECES = re.compile(
    r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
    r"|(?:[^\r\n\w]|_)?[^\W\d_]+|\d| ?(?:[^\s\w]|_)+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def _byte_letters():
    """GPT-2's table: a printable letter for every byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    table = {byte: chr(byte) for byte in plain}
    table.update({byte: chr(256 + place) for place, byte in enumerate(others)})
    return table


BYTE_LETTERS = _byte_letters()
LETTER_BYTES = {letter: byte for byte, letter in BYTE_LETTERS.items()}


def pieces(text):
    """The parts of a text that merges never cross, in byte letters."""
    return ["".join(BYTE_LETTERS[byte] for byte in piece.encode()) for piece in PIECES.findall(text)]


def _merge(symbols, pair):
    merged, at = [], 0
    while at < len(symbols):
        if tuple(symbols[at : at + 2]) == pair:
            merged.append(pair[0] + pair[1])
            at += 2
        else:
            merged.append(symbols[at])
            at += 1
    return merged


def learn(texts, size, common=40, whole=()):
    """Learns tokens and merges: of pieces that occur at least `common` times first, so that words of the language
    come out whole and only invented ones in parts. Each word of `whole` becomes one token, whatever its count.
    """
    counts = collections.Counter()
    for text in texts:
        counts.update(pieces(text))
    for piece, count in counts.items():
        if count >= common:
            counts[piece] = count * 1000
    for word in whole:
        counts[word] += 1 << 30
    words = [[list(word), count] for word, count in counts.items()]
    pairs, places = collections.Counter(), collections.defaultdict(set)
    for index, (symbols, count) in enumerate(words):
        for pair in zip(symbols, symbols[1:]):
            pairs[pair] += count
            places[pair].add(index)
    tokens, merges = SPECIAL + [BYTE_LETTERS[byte] for byte in range(256)], []
    known = set(tokens)
    while len(tokens) < size:
        pair, count = max(pairs.items(), key=lambda item: (item[1], item[0]))
        merges.append(pair)
        if pair[0] + pair[1] not in known:
            known.add(pair[0] + pair[1])
            tokens.append(pair[0] + pair[1])
        for index in list(places[pair]):
            symbols, word_count = words[index]
            for other in zip(symbols, symbols[1:]):
                pairs[other] -= word_count
            words[index][0] = symbols = _merge(symbols, pair)
            for other in zip(symbols, symbols[1:]):
                pairs[other] += word_count
                places[other].add(index)
        del pairs[pair]
    return tokens, merges


class Tokenizer:
    """Encodes and decodes with what `learn` found."""

    def __init__(self, tokens, merges):
        self.tokens = tokens
        self.merges = [tuple(merge) for merge in merges]
        self._ids = {token: index for index, token in enumerate(tokens)}
        self._ranks = {merge: rank for rank, merge in enumerate(self.merges)}
        self._known = {}

    @classmethod
    def load(cls, path):
        with open(path, encoding="utf-8") as file:
            return cls(**json.load(file))

    def save(self, path):
        with open(path, "w", encoding="utf-8") as file:
            json.dump({"tokens": self.tokens, "merges": self.merges}, file, ensure_ascii=False)

    def _piece(self, piece):
        if piece not in self._known:
            symbols = list(piece)
            while len(symbols) > 1:
                pair = min(zip(symbols, symbols[1:]), key=lambda each: self._ranks.get(each, 1 << 30))
                if pair not in self._ranks:
                    break
                symbols = _merge(symbols, pair)
            self._known[piece] = [self._ids[symbol] for symbol in symbols]
        return self._known[piece]

    def encode(self, text):
        return [token for piece in pieces(text) for token in self._piece(piece)]

    def decode(self, ids):
        letters = "".join(self.tokens[token] for token in ids if token >= len(SPECIAL))
        return bytes(LETTER_BYTES[letter] for letter in letters).decode(errors="replace")
