"""What `--format` means, as a table: template, value, result. The expected texts are those of Go's text/template."""

from __future__ import annotations

import pytest

from cli.gotemplate import Template, TemplateError

IMAGE = {
    "Id": "sha256:abc", "RepoTags": ["app:1", "app:2"], "Size": 1234567, "Parent": "", "Ratio": 0.5, "Hidden": False,
    "Config": {"Env": ["A=1", "B=2"], "Cmd": None, "Labels": {"b": "2", "a": "1", "x.y": "z"}, "User": "web", "Volumes": None},
    "Mounts": [{"Source": "/a", "Mode": "ro"}, {"Source": "/b", "Mode": ""}],
    "Networks": {"host": {"IP": "1.2.3.4"}}, "Method": lambda name: f"<{name}>",
}  # fmt: skip

CASES = [
    ("plain text", "plain text"),
    ("{{.Id}} {{.Size}}", "sha256:abc 1234567"),
    ("{{.Config.User}}", "web"),
    ("{{ .Config.Labels.a }}", "1"),
    ("{{.Config.Labels.nosuch}}", "<no value>"),
    ("{{.Config.Volumes.x}}", "<no value>"),
    ('{{index .Config.Labels "x.y"}}', "z"),
    ('[{{index .Config.Labels "nosuch"}}]', "[]"),
    ("{{index .RepoTags 1}}", "app:2"),
    ("{{(index .Mounts 0).Source}}", "/a"),
    ("{{.RepoTags}} {{.Config.Labels}} {{.Config.Cmd}} {{.Hidden}} {{.Ratio}}", "[app:1 app:2] map[a:1 b:2 x.y:z] [] false 0.5"),
    ("{{json .Config.Labels}}", '{"a":"1","b":"2","x.y":"z"}'),
    ("{{json .Config.Cmd}} {{json .Size}} {{json .RepoTags}}", 'null 1234567 ["app:1","app:2"]'),
    ("{{.RepoTags | json}}", '["app:1","app:2"]'),
    ("{{range .RepoTags}}{{.}};{{end}}", "app:1;app:2;"),
    ("{{range $i, $t := .RepoTags}}{{$i}}={{$t}} {{end}}", "0=app:1 1=app:2 "),
    ("{{range $k, $v := .Config.Labels}}{{$k}}:{{$v}},{{end}}", "a:1,b:2,x.y:z,"),
    ("{{range $n, $c := .Networks}}{{$n}} {{$c.IP}}{{end}}", "host 1.2.3.4"),
    ("{{range .Config.Cmd}}x{{else}}none{{end}}", "none"),
    ("{{range .Mounts}}{{$.Id}}{{break}}{{end}}", "sha256:abc"),
    ("{{range .Mounts}}{{if .Mode}}{{continue}}{{end}}{{.Source}}{{end}}", "/b"),
    ("{{range 3}}{{.}}{{end}}", "012"),
    ("{{if .Parent}}child{{else}}root{{end}}", "root"),
    ("{{if .Parent}}1{{else if .Hidden}}2{{else if .Size}}3{{else}}4{{end}}!", "3!"),
    ("{{with .Config}}{{.User}}{{end}}{{with .Parent}}x{{else}}-{{end}}", "web-"),
    ("{{with $u := .Config.User}}{{$u}}{{end}}", "web"),
    ("{{$x := 1}}{{if true}}{{$x = 2}}{{end}}{{$x}}", "2"),
    ("{{$x := 1}}{{if true}}{{$x := 2}}{{end}}{{$x}}", "1"),
    ("a {{- 1 -}} b {{- /* gone */ -}} c", "a1bc"),
    ("a\n{{- range .RepoTags }}\n{{ . }}\n{{- end }}", "a\napp:1\napp:2"),
    ("{{-3}}", "-3"),
    ('{{eq .Size 1234567}} {{eq .Id "x" "sha256:abc"}} {{ne 1 2}} {{lt 1 2}} {{le 2 2}} {{gt 1 2}} {{ge "b" "a"}}', "true true true true true false true"),
    ('{{and 1 0 (index .RepoTags 9)}} {{or "" "b"}} {{not .Parent}}', "0 b true"),
    ("{{len .RepoTags}} {{len .Id}} {{len .Config.Cmd}}", "2 10 0"),
    ("{{print 1 2}} {{print `a` 1}} {{println `x`}}", "1 2 a1 x\n"),
    ('{{printf "%s|%5d|%-6s|%05d|%.2f|%q|%x|%t|%v|%%" .Id 42 "ab" 7 .Ratio "q\\"" 255 true .RepoTags}}', 'sha256:abc|   42|ab    |00007|0.50|"q\\""|ff|true|[app:1 app:2]|%'),
    ('{{printf "%d %s" "x"}} {{printf "a" 1}}', "%!d(string=x) %!s(MISSING) a%!(EXTRA int=1)"),
    ('{{.Size | printf "%d-%s" 1 | printf "%s"}}', "1-%!s(int=1234567)"),
    ('{{join .RepoTags ","}} {{index (split "a/b/c" "/") 2}} {{split "a,b" ","}}', "app:1,app:2 c [a b]"),
    ('{{upper "aB"}} {{lower "aB"}} {{title "hello big world"}} [{{pad "x" 2 1}}] {{truncate .Id 6}}', "AB ab Hello Big World [  x ] sha256"),
    ("{{slice .Id 7}} {{slice .Id 0 3}}", "abc sha"),
    ('{{.Method "a"}} {{"b" | .Method}}', "<a> <b>"),
    (r'{{"\t\u00e9\x41"}}{{`\t`}}', "\té" r"A\t"),
    ("{{'a'}} {{0x10}} {{1_000}} {{1.50}} {{1e3}}", "97 16 1000 1.5 1000"),
    ('{{.Config.StopSignal}}{{if .Config.Healthcheck}}x{{end}}', ""),
    ("{{.Config.ExposedPorts}} {{.Config.OnBuild}}{{range $p, $_ := .Config.ExposedPorts}}x{{end}}", "map[] []"),
]  # fmt: skip

FAULTS = [
    ("{{.Nosuch}}", "template:1:3: at <.Nosuch>: no such field: Nosuch"),
    ("{{.Config.Nosuch}}", "at <.Config.Nosuch>"),
    ("{{.Id.Foo}}", "can't evaluate field Foo in a string"),
    ("ok\n  {{.Id", "template:2:3: unclosed action"),
    ('{{"abc}}', "unterminated quoted string"),
    ("{{Id}}", "function 'Id' not defined"),
    ("{{if .Id}}", "{{if}} lacks its {{end}}"),
    ("{{range .Id}}{{else}}", "{{range}} lacks its {{end}}"),
    ("{{if .Id}}{{else}}{{else}}{{end}}", "another {{else}}"),
    ("{{end}}", "unexpected {{end}}"),
    ("{{if}}{{end}}", "missing value for if"),
    ("{{}}", "missing value for command"),
    ("{{.Id | }}", "missing value"),
    ("{{.Id | 3}}", "after '|'"),
    ("{{$x}}", "undefined variable '$x'"),
    ("{{if true}}{{$x := 1}}{{end}}{{$x}}", "undefined variable '$x'"),
    ("{{break}}", "outside {{range}}"),
    ("{{(len .Id}}", "unclosed left paren"),
    ("{{.Id 3}}", "no function"),
    ("{{index .RepoTags 5}}", "index out of range: 5"),
    ('{{join "a" ","}}', "error calling join: wants a list"),
    ("{{truncate 1}}", "error calling truncate"),
    ("{{eq 1 `a`}}", "incompatible types"),
    ("{{range .Size}}{{.x}}{{end}}", "can't evaluate field x"),
    ("{{range .Id}}{{end}}", "range can't iterate over a string"),
    ("{{.Id ^}}", "unexpected '^'"),
    ('{{template "x"}}', "'template' is not supported"),
]


@pytest.mark.parametrize(("template", "text"), CASES, ids=[case[0] for case in CASES])
def test_a_template_renders(template: str, text: str) -> None:
    assert Template(template).render(IMAGE) == text


@pytest.mark.parametrize(("template", "why"), FAULTS, ids=[fault[0] for fault in FAULTS])
def test_a_faulty_template_says_what_is_wrong(template: str, why: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(template).render(IMAGE)
    assert why in caught.value.message


def test_a_missing_field_lists_those_there_are() -> None:
    with pytest.raises(TemplateError) as caught:
        Template("{{.Mounts.X}}{{.Networks.x}}{{.Config.Nosuch}}").render({"Config": {"User": ""}})
    assert caught.value.hint == "fields: Config"
