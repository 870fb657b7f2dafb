#!/usr/bin/env python3
"""The grammars for editors know the words that the compiler knows, and every model of the repository.

    grammars.py [--vim VIM]

The compiler's lists are read from its sources; a word that is missing in a grammar, or too much, is an error. The
TextMate grammar is then run over all models by the tokenizer below, which does what the grammar needs of such a thing (match,
begin and end, captures, includes); no model may have a token that the grammar calls invalid, and every kind of
token has to be found somewhere. With --vim, the same of Vim's.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
TEXTMATE = ROOT / "editors" / "vscode" / "syntaxes" / "rxn.tmLanguage.json"
VIM = ROOT / "editors" / "vim"

# ---- The words of the compiler


def strings_of(path, begin, end=r"^\};|;$", row=r'\{"(\w+)"'):
    """The first strings of the rows of a table in a C file."""
    text = (ROOT / path).read_text()
    table = re.search(begin + r".*?(?:%s)" % end, text, re.M | re.S)
    assert table, "%s has no table '%s'" % (path, begin)
    found = set(re.findall(row, table[0]))
    assert found, "the table '%s' of %s is empty" % (begin, path)
    return found


def compiler_words():
    reserved = strings_of("grammar/rxn.l", r"reserved_words\[\] = \{")
    clauses = {"as", "at", "bound", "every", "fit", "from"}
    assert clauses < reserved, "the clause words are other ones"
    declared = {"model", "use", "const", "index", "param", "species", "input", "let", "fn"}
    statements = strings_of("grammar/layout.c", r"keywords\[\] = \{")
    assert declared < statements, "the words of declarations are other ones"
    choices = strings_of("compiler/sema/fit.c", r"choices\[\] = \{", row=r'\{"\w+", "(\w+)"')
    blocks = strings_of("compiler/sema/fit.c", r"block_words = WORDS\(", r"\);", r'"(\w+)"')
    return {
        "declarations": declared,
        "statements": statements - declared,
        "clauses": clauses | {"until"},
        "operator-words": {"and", "in", "not", "or"},
        "conditionals": {"else", "if", "then"},
        "reductions": {"prod", "sum"},
        "booleans": {"false", "true"},
        "functions": strings_of("compiler/sema/builtins.c", r"builtins\[\] = \{"),
        "expectations": strings_of("compiler/sema/objective.c", r"functions\[\] = \{"),
        "losses": strings_of("compiler/sema/fit_loss.c", r"functions\[\] = \{"),
        "distributions": strings_of("compiler/sema/fit_prior.c", r"names\[\] = \{", row=r'"(\w+)"'),
        "entries": strings_of("compiler/sema/fit.c", r"rules\[\] = \{") | blocks,
        "choices": choices,
    }, reserved


# ---- The words of the grammars


def patterns_of(node):
    """All regular expressions below a node."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in ("match", "begin", "end"):
                yield value
            else:
                yield from patterns_of(value)
    elif isinstance(node, list):
        for value in node:
            yield from patterns_of(value)


def textmate_words(grammar, key):
    """The words of the groups (a|b|c): captured ones, so that what is only looked at does not count."""
    words = set()
    for pattern in patterns_of(grammar["repository"][key]):
        for group in re.findall(r"(?<!\\)\((\w+(?:\|\w+)*)\)", pattern):
            words |= set(group.split("|"))
    return words


VIM_GROUPS = {
    "declarations": "rxnDeclaration",
    "statements": "rxnStatement",
    "clauses": "rxnClause",
    "operator-words": "rxnOperatorWord",
    "conditionals": "rxnConditional",
    "reductions": "rxnReduction",
    "booleans": "rxnBoolean",
    "functions": "rxnFunction",
    "expectations": "rxnExpectation",
    "losses": "rxnLoss",
    "distributions": "rxnDistribution",
    "entries": "rxnEntry",
    "choices": "rxnChoice",
}


def vim_words(text, group):
    words = set()
    for line in re.findall(r"^syntax (?:match|keyword) %s +(.*)$" % group, text, re.M):
        if not line.startswith('"'):
            words |= set(line.split())
            continue
        # The word stands between \< and \>; the last of them is the one that is coloured.
        found = re.findall(r"\\<(?:\\%\(((?:\w+\\\|)*\w+)\\\)|(\w+))\\>", line.split("\\ze")[0])
        assert found, line
        words |= set((found[-1][0] or found[-1][1]).split("\\|"))
    return words


def check_words(grammar):
    expected, reserved = compiler_words()
    vim = (VIM / "syntax" / "rxn.vim").read_text()
    wrong = 0
    for key, words in expected.items():
        for name, found in (("TextMate", textmate_words(grammar, key)), ("Vim", vim_words(vim, VIM_GROUPS[key]))):
            if found != words:
                wrong += 1
                print("%s, %s: missing %s, too much %s" % (name, key, sorted(words - found), sorted(found - words)))
    of_lexer = expected["clauses"] | expected["operator-words"] | expected["conditionals"] | expected["reductions"]
    of_lexer |= expected["booleans"]
    if of_lexer != reserved:
        wrong += 1
        print("the scanner's words are sorted into no group: %s" % sorted(of_lexer ^ reserved))
    print("%d groups of words in two grammars, %d wrong" % (len(expected), wrong))
    return wrong


# ---- TextMate


class Tokenizer:
    """Scopes of a text, a line at a time: of all rules the match that begins first, and of those the first rule."""

    def __init__(self, grammar):
        self.grammar, self.compiled = grammar, {}

    def expression(self, text):
        if text not in self.compiled:
            self.compiled[text] = re.compile(text)
        return self.compiled[text]

    def rules(self, patterns):
        for pattern in patterns:
            if "include" in pattern:
                yield from self.rules([self.grammar["repository"][pattern["include"].lstrip("#")]])
            elif "match" in pattern or "begin" in pattern:
                yield pattern
            else:
                yield from self.rules(pattern["patterns"])

    def tokens(self, text):
        """(line, column, text, scopes), for every stretch of text that has a scope; blanks may have none."""
        stack = []
        for number, line in enumerate(text.splitlines(), 1):
            at = 0
            while True:
                patterns = stack[-1]["patterns"] if stack else self.grammar["patterns"]
                found = []
                if stack:
                    found.append((self.expression(stack[-1]["end"]).search(line, at), None))
                for rule in self.rules(patterns):
                    found.append((self.expression(rule.get("match") or rule["begin"]).search(line, at), rule))
                found = [(match.start(), k, match, rule) for k, (match, rule) in enumerate(found) if match]
                if not found:
                    yield from self.plain(number, at, line[at:])
                    break
                start, _, match, rule = min(found, key=lambda item: item[:2])
                yield from self.plain(number, at, line[at:start])
                if rule is None:
                    stack.pop()
                else:
                    outer = [s["name"] for s in stack if "name" in s]
                    captures = rule.get("captures") or rule.get("beginCaptures") or {}
                    scopes = [captures[k]["name"] for k in captures if match[int(k)]]
                    yield number, start + 1, match[0].strip(), outer + [rule.get("name", "")] + scopes
                    if "begin" in rule:
                        stack.append(rule)
                    assert match.end() > at or "begin" in rule, "a rule that takes nothing: %s" % rule
                at = match.end()

    @staticmethod
    def plain(number, at, text):
        if text.strip():
            yield number, at + 1, text.strip(), []


def models():
    return [p for folder in ("stdlib_models", "examples", "tests") for p in sorted((ROOT / folder).rglob("*.rxn"))]


def is_wrong_on_purpose(path):
    return path.parts[-3:-1] == ("golden", "errors")


def check_models(grammar):
    tokenizer, wrong, seen, count = Tokenizer(grammar), 0, set(), 0
    for path in models():
        text = path.read_bytes().decode("utf-8-sig")
        for line, column, token, scopes in tokenizer.tokens(text):
            seen |= set(scopes)
            count += 1
            if not is_wrong_on_purpose(path) and (not scopes or any("invalid" in s for s in scopes)):
                wrong += 1
                print("%s:%d:%d: '%s' is %s" % (path.relative_to(ROOT), line, column, token, scopes or "nothing"))
    named = {value for value in scope_names(grammar["repository"])}
    for scope in sorted(named - seen):
        wrong += 1
        print("no model has a token of scope %s" % scope)
    print("%d tokens in %d models, %d wrong" % (count, len(models()), wrong))
    return wrong


def scope_names(node):
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "name" and isinstance(value, str):
                yield value
            else:
                yield from scope_names(value)
    elif isinstance(node, list):
        for value in node:
            yield from scope_names(value)


# What a token is, where a name and a word look alike: the text, and a part of the scope of each of its words.
CASES = [
    ("at 25: P = 50", {"at": "control", "25": "numeric", "P": "variable", "=": "operator"}),
    ("at + X -> Y  @ k", {"at": "variable", "X": "variable", "->": "arrow", "@": "rate", "k": "variable"}),
    ("every 10 from 5 until 100: A = 1", {"every": "control", "from": "clause", "until": "clause"}),
    ("species bound = 1, from = 2", {"species": "storage", "bound": "variable", "from": "variable"}),
    ("A -> 0  @ k bound 2 * k", {"bound": "clause"}),
    ("fit: A -> 0  @ 1", {"fit": "reaction", "A": "variable"}),
    ("param k = 1 in 2 .. 3  fit", {"in": "operator.word", "..": "operator", "fit": "clause"}),
    ("fit {", {"fit": "control"}),
    ("  optimizer  adam(rate = 0.05)", {"optimizer": "property", "rate": "variable", "0.05": "numeric"}),
    ("  loss  mse(mean(A), data.A)", {"loss": "property", "mse": "loss", "mean": "expectation", "data.A": "variable"}),
    ("  log  k", {"log": "property"}),
    ("let a = log(k) + exp(t)", {"log": "builtin", "exp": "builtin", "t": "time"}),
    ("param W[g] ~ normal(0, 1)", {"~": "operator", "normal": "distribution"}),
    ("let normal_ = normal", {"normal": "variable"}),
    ("DA' -> ∅  @ α₁", {"DA'": "variable", "∅": "nothing", "α₁": "variable"}),
    ("use \"a#b.rxn\" as g  # c", {"use": "storage", '"a#b.rxn"': "string", "as": "clause", "# c": "comment"}),
    ("let x = 1..3", {"1": "numeric", "..": "operator", "3": "numeric"}),
    ("let x = a && b", {"&&": "invalid"}),
    ("let x = a ** b", {"**": "invalid"}),
    ("use \"abc", {'"abc': "invalid"}),
    ("let x = $", {"$": "invalid"}),
]


def check_cases(grammar):
    tokenizer, wrong = Tokenizer(grammar), 0
    for text, expected in CASES:
        found = {token: " ".join(scopes) for _, _, token, scopes in tokenizer.tokens(text)}
        # A rule that takes several words gives each of them its scope.
        split = {word.rstrip(":"): scopes for token, scopes in found.items() for word in token.split()}
        for word, scope in expected.items():
            got = found.get(word, split.get(word, ""))
            if scope not in got:
                wrong += 1
                print("%s: '%s' is '%s', not '%s'" % (text, word, got, scope))
    print("%d single lines, %d wrong" % (len(CASES), wrong))
    return wrong


# ---- Vim

DUMP = r"""
let s:out = []
for s:path in s:paths
  execute 'silent edit ' . fnameescape(s:path)
  for s:line in range(1, line('$'))
    for s:column in range(1, len(getline(s:line)))
      if getline(s:line)[s:column - 1] =~# '[[:space:],:;(){}[\]]'
        continue
      endif
      let s:name = synIDattr(synID(s:line, s:column, 1), 'name')
      if s:name ==# 'rxnError' || s:name ==# ''
        call add(s:out, s:path . ':' . s:line . ':' . s:column . ': ' . s:name)
      elseif !has_key(s:seen, s:name)
        let s:seen[s:name] = 1
      endif
    endfor
  endfor
endfor
call writefile(s:out + ['filetype ' . &filetype . ' ' . &commentstring] + map(sort(keys(s:seen)), '"seen " . v:val'), s:result)
quitall!
"""


def check_vim(vim):
    with tempfile.TemporaryDirectory() as folder:
        script, result = pathlib.Path(folder) / "dump.vim", pathlib.Path(folder) / "result"
        paths = [str(p) for p in models() if not is_wrong_on_purpose(p) and p.name != "blanks.rxn"]
        script.write_text("set encoding=utf-8\nlet s:seen = {}\nlet s:paths = %s\nlet s:result = '%s'\n" % (json.dumps(paths), result) + DUMP)
        done = subprocess.run([vim, "-u", "NONE", "-N", "-es", "-n", "-i", "NONE", "--cmd", "set encoding=utf-8", "-c",
                               "set runtimepath^=%s | filetype plugin on | syntax on" % VIM, "-S", str(script)],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=300)
        if not result.exists():
            print("vim did not get to the end:\n%s" % done.stdout.decode(errors="replace"))
            return 1
        lines = result.read_text().splitlines()
    seen = {line.split()[1] for line in lines if line.startswith("seen ")}
    wrong = [line for line in lines if not line.startswith(("seen ", "filetype "))]
    if "filetype rxn # %s" not in lines:
        wrong.append("the file type is not set: %s" % [line for line in lines if line.startswith("filetype")])
    groups = set(re.findall(r"^syntax (?:match|keyword) (\w+)", (VIM / "syntax" / "rxn.vim").read_text(), re.M))
    wrong += ["no model has a token of group %s" % group for group in sorted(groups - seen - {"rxnError"})]
    for line in wrong[:20]:
        print(line)
    print("%d models in vim, %d wrong" % (len(paths), len(wrong)))
    return len(wrong)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vim", help="this program reads the models too")
    options = parser.parse_args()
    grammar = json.loads(TEXTMATE.read_text())
    for name in ("package.json", "language-configuration.json"):
        json.loads((ROOT / "editors" / "vscode" / name).read_text())
    wrong = check_words(grammar) + check_models(grammar) + check_cases(grammar)
    if options.vim:
        wrong += check_vim(options.vim)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
