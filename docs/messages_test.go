package docs_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"memexport/internal/workshop/runbook"
)

// explained returns the messages that docs/operations.md explains.
func explained(t *testing.T) []runbook.Message {
	t.Helper()
	page := pages(t)["docs/operations.md"]
	start, temporal := runbook.Messages(page, "Messages at the start"), runbook.Messages(page, "When Temporal does not work")
	if len(start) < 50 || len(temporal) < 8 {
		t.Fatalf("docs/operations.md explains %d messages of the start and %d about Temporal", len(start), len(temporal))
	}
	return append(start, temporal...)
}

// literal is a text in the source of the program. A sum of texts is one literal, in which "..." replaces what is not
// constant.
type literal struct {
	where string // file and line
	call  string // the function whose first argument it is, such as fmt.Errorf, or ""
	text  string // "..." if the argument has no constant part
}

// literals returns the texts in the files that git finds for the pathspecs. The working directory is the top of the
// repository.
func literals(t *testing.T, pathspecs ...string) (all []literal) {
	t.Helper()
	list, err := exec.Command("git", append([]string{"ls-files", ":!*_test.go"}, pathspecs...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	for path := range strings.FieldsSeq(string(list)) {
		positions := token.NewFileSet()
		file, err := parser.ParseFile(positions, path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			l := literal{}
			switch n := n.(type) {
			case *ast.CallExpr:
				called, isSelector := n.Fun.(*ast.SelectorExpr)
				if !isSelector || len(n.Args) == 0 {
					return true
				}
				l.call, l.text = called.Sel.Name, constant(n.Args[0])
				if of, isName := called.X.(*ast.Ident); isName {
					l.call = of.Name + "." + l.call
				}
			case *ast.BinaryExpr, *ast.BasicLit:
				l.text = constant(n.(ast.Expr))
			default:
				return true
			}
			l.where = positions.Position(n.Pos()).String()
			all = append(all, l)
			return true
		})
	}
	return all
}

// constant returns the text of an expression, with "..." for each part that is not constant.
func constant(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(e.Value); err == nil && e.Kind == token.STRING {
			return text
		}
	case *ast.BinaryExpr:
		return constant(e.X) + constant(e.Y)
	}
	return "..."
}

func TestEveryMessageOfAPageIsOneOfTheProgram(t *testing.T) {
	messages := explained(t)
	program := literals(t, "cmd/memexport/*.go", "internal/service/*.go", "worker/*.go")
	for _, m := range messages {
		if len(m.String()) < 8 {
			t.Errorf("docs/operations.md explains the message %q, which is too short to be recognized", m)
		}
		if !slices.ContainsFunc(program, func(l literal) bool { return m.In(l.text) }) {
			t.Errorf("docs/operations.md explains the message %q, but the program does not have it", m)
		}
	}
}

// notAtStart lists the code whose errors do not end a start. A new file or package is not in the list, so the test asks
// for rows about its errors until it is added.
var notAtStart = []string{
	// commands that do not run the service, and the stack of a developer's machine
	":!cmd/memexport/audit.go", ":!cmd/memexport/demo.go", ":!cmd/memexport/dev*.go", ":!cmd/memexport/exit.go", ":!cmd/memexport/export*.go",
	":!cmd/memexport/keys*.go", ":!cmd/memexport/workspaces.go",
	// what requests and activities do
	":!internal/service/apikey", ":!internal/service/attempt", ":!internal/service/audit", ":!internal/service/datarow", ":!internal/service/export", ":!internal/service/format",
	":!internal/service/partwriter", ":!internal/service/rowid",
	":!internal/service/admin/health.go", ":!internal/service/temporalclient/state.go",
	":!internal/service/archive/deflate.go", ":!internal/service/archive/digest.go", ":!internal/service/archive/file.go", ":!internal/service/archive/put.go",
	":!internal/service/archive/stream.go",
	":!internal/service/memory/estimate.go", ":!internal/service/memory/filter.go", ":!internal/service/memory/oversize.go", ":!internal/service/memory/plan.go",
	":!internal/service/memory/position.go", ":!internal/service/memory/reader.go", ":!internal/service/memory/row.go",
	// lines below "the configuration in the environment is wrong:", which the tests of the package check
	":!internal/service/config/check.go",
}

// onlyWraps matches a format without words of its own.
var onlyWraps = regexp.MustCompile(`^(%[sw]: )+%[sw]$`)

// exceptions are errors in the other files that do not end a start, or whose text the table has under another message.
var exceptions = []string{
	// The listener of an API that runs has failed.
	"serve: %w",
	// archive.Failures
	"the export %s: %w", "%w (and %d other exports failed too)",
	// archive.errHangs, which the table has
	"%w for %s",
	// lines below "the configuration in the environment is wrong:"
	"write decimals with a point, and no commas", "too large",
}

// Whoever adds an error with which a process refuses to start must write its remedy into docs/operations.md. This test
// sees the first arguments of fmt.Errorf and errors.New. It cannot see errors of other kinds, or errors of libraries that
// are returned unchanged. The function refuses in e2e looks up what a process has really printed.
func TestEveryMessageOfTheStartHasARemedy(t *testing.T) {
	messages := explained(t)
	wanted := 0
	want := func(l literal) {
		wanted++
		if !slices.ContainsFunc(messages, func(m runbook.Message) bool { return m.In(l.text) }) {
			t.Errorf("%s: the tables of docs/operations.md do not explain %q: write a row below \"Messages at the start\", "+
				"or add the file to notAtStart if this cannot end a start", l.where, l.text)
		}
	}
	for _, l := range literals(t, append([]string{"cmd/memexport/*.go", "internal/service/*.go"}, notAtStart...)...) {
		isError := l.call == "fmt.Errorf" || l.call == "errors.New"
		isProblem := l.call == "fmt.Sprintf" && strings.Contains(l.where, "temporalclient/problem.go")
		if (isError || isProblem) && !onlyWraps.MatchString(l.text) && !slices.Contains(exceptions, l.text) {
			want(l)
		}
	}
	// what a process that waits says
	for _, l := range literals(t, "cmd/memexport/api.go", "worker/worker.go") {
		if strings.HasSuffix(l.call, "Warn") {
			want(l)
		}
	}
	if wanted < 60 {
		t.Errorf("only %d messages were found", wanted)
	}
}
