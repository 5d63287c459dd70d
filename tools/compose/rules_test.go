// Package compose checks docker-compose.yml without a Docker engine: it loads the file as Compose does.
package compose

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

const root = "../.."

// oneShots are the services that end by themselves.
var oneShots = []string{"demo", "migrate", "temporal-namespace", "temporal-schema"}

// load returns the project in docker-compose.yml, with the given variables as .env.
func load(t *testing.T, env ...string) (*types.Project, error) {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(root, "docker-compose.yml")}, cli.WithEnv(env))
	if err != nil {
		t.Fatal(err)
	}
	return options.LoadProject(t.Context())
}

// passwords returns the names of the variables that deploy/compose/passwords writes.
func passwords(t *testing.T) []string {
	t.Helper()
	script := read(t, "deploy/compose/passwords")
	list := regexp.MustCompile(`for name in ([A-Z0-9 ]+);`).FindStringSubmatch(script)
	if list == nil {
		t.Fatal("deploy/compose/passwords has no list of names")
	}
	var names []string
	for name := range strings.FieldsSeq(list[1]) {
		names = append(names, name+"_PASSWORD")
	}
	return names
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func project(t *testing.T) *types.Project {
	t.Helper()
	var env []string
	for _, name := range passwords(t) {
		env = append(env, name+"=value-of-"+name)
	}
	p, err := load(t, env...)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Services) < 8 {
		t.Fatalf("the file has %d services", len(p.Services))
	}
	return p
}

func TestWithoutPasswordsTheFileSaysHowToMakeThem(t *testing.T) {
	for _, missing := range passwords(t) {
		var env []string
		for _, name := range passwords(t) {
			if name != missing {
				env = append(env, name+"=x")
			}
		}
		if _, err := load(t, env...); err == nil || !strings.Contains(err.Error(), "run deploy/compose/passwords first") {
			t.Errorf("without %s: %v", missing, err)
		}
	}
}

func TestEveryPasswordComesFromTheEnvironment(t *testing.T) {
	inURL := regexp.MustCompile(`://[^/@]*:([^/@]*)@`)
	for name, service := range project(t).Services {
		for variable, value := range service.Environment {
			secret := ""
			if match := inURL.FindStringSubmatch(*value); match != nil {
				secret = match[1]
			} else if regexp.MustCompile(`PASSWORD|PWD|SECRET`).MatchString(variable) {
				secret = *value
			} else {
				continue
			}
			if !strings.HasPrefix(secret, "value-of-") {
				t.Errorf("%s of the service %s has a password in the file", variable, name)
			}
		}
	}
}

func TestNoServiceIsASuperuser(t *testing.T) {
	roles := read(t, "deploy/postgres/roles.sql")
	if strings.Contains(roles, "SUPERUSER") {
		t.Error("roles.sql creates a superuser")
	}
	role := regexp.MustCompile(`^postgres://([^:]+):value-of-([A-Z]+)_PASSWORD@`)
	users := map[string]string{"migrate": "memexport_migrate", "api": "memexport_api", "worker": "memexport_worker", "demo": "memories"}
	for name, service := range project(t).Services {
		if name != "postgres" && strings.Contains(strings.Join(environment(service), "\n"), "value-of-POSTGRES_PASSWORD") {
			t.Errorf("the service %s knows the superuser's password", name)
		}
		want, ok := users[name]
		if !ok {
			continue
		}
		if match := role.FindStringSubmatch(*service.Environment["DATABASE_URL"]); match == nil || match[1] != want || !strings.Contains(roles, "CREATE ROLE "+want+" ") {
			t.Errorf("the service %s connects as %v, want %s of roles.sql", name, match, want)
		}
	}
}

func environment(s types.ServiceConfig) (list []string) {
	for name, value := range s.Environment {
		list = append(list, name+"="+*value)
	}
	return list
}

func TestEveryImageHasAFixedVersion(t *testing.T) {
	fixed := regexp.MustCompile(`^[a-z./-]+:v?[0-9]+\.[0-9]+(\.[0-9]+)?(-[a-z0-9.]+)?(@sha256:[0-9a-f]{64})?$`)
	builds := 0
	for name, service := range project(t).Services {
		switch {
		case service.Build != nil: // when several services build one image, Docker exports it several times at once and fails
			builds++
		case service.Image == "memexport":
			if service.PullPolicy != types.PullPolicyNever {
				t.Errorf("the service %s may pull the image memexport from a registry: set pull_policy to never", name)
			}
		case !fixed.MatchString(service.Image):
			t.Errorf("the image %s of the service %s has no version", service.Image, name)
		}
		if strings.Contains(service.Image, "auto-setup") {
			t.Errorf("the service %s uses the deprecated image auto-setup", name)
		}
	}
	if builds != 1 {
		t.Errorf("%d services build an image, want 1", builds)
	}
	for _, from := range regexp.MustCompile(`(?m)^FROM (?:--platform=\S+ )?(\S+)`).FindAllStringSubmatch(read(t, "Dockerfile"), -1) {
		// Distroless images have no version tags; only a digest could name a version.
		if !fixed.MatchString(from[1]) && !strings.HasPrefix(from[1], "gcr.io/distroless/static-debian13:nonroot") {
			t.Errorf("the base image %s of the Dockerfile has no version", from[1])
		}
	}
}

func TestServicesThatStayAreRestartedAndSayWhenTheyAreHealthy(t *testing.T) {
	p := project(t)
	for name, service := range p.Services {
		if slices.Contains(oneShots, name) {
			if service.Restart != "" {
				t.Errorf("the service %s ends by itself, and has the restart policy %s", name, service.Restart)
			}
			continue
		}
		if service.Restart != types.RestartPolicyUnlessStopped {
			t.Errorf("the service %s has the restart policy %q", name, service.Restart)
		}
		if service.HealthCheck == nil && name != "temporal-ui" { // nothing waits for the UI
			t.Errorf("the service %s has no healthcheck", name)
		}
	}
	for name, service := range p.Services {
		for on, how := range service.DependsOn {
			want := types.ServiceConditionHealthy
			if slices.Contains(oneShots, on) {
				want = types.ServiceConditionCompletedSuccessfully
			}
			if how.Condition != want {
				t.Errorf("the service %s waits until %s is %s, want %s", name, on, how.Condition, want)
			}
		}
	}
	// While the image initializes the database, it runs a temporary server that listens only on a Unix socket.
	// A check over TCP fails as long as that server runs.
	if test := p.Services["postgres"].HealthCheck.Test; !strings.Contains(strings.Join(test, " "), "pg_isready -h 127.0.0.1") {
		t.Errorf("the healthcheck of postgres is %v: it passes before the server is ready", test)
	}
	for _, name := range []string{"api", "worker"} {
		if test := p.Services[name].HealthCheck.Test; !slices.Equal(test, []string{"CMD", "/memexport", "health"}) {
			t.Errorf("the healthcheck of %s is %v", name, test)
		}
	}
}

func TestMemexportRunsConfined(t *testing.T) {
	for name, service := range project(t).Services {
		if service.Image != "memexport" {
			continue
		}
		if !service.ReadOnly || !slices.Equal(service.CapDrop, []string{"ALL"}) || !slices.Equal(service.SecurityOpt, []string{"no-new-privileges:true"}) {
			t.Errorf("the service %s may write to its root, or has capabilities", name)
		}
		if grace := service.StopGracePeriod; service.Restart != "" && (grace == nil || time.Duration(*grace) <= 25*time.Second) {
			t.Errorf("the service %s is killed after %v, before STOP_TIMEOUT ends", name, grace)
		}
	}
}

func TestPortsAreOpenOnThisMachineOnly(t *testing.T) {
	for name, service := range project(t).Services {
		for _, port := range service.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("the service %s opens the port %s to the network", name, port.Published)
			}
		}
	}
}

func TestTemporalDividesTasksAmongWorkspacesAndGivesNoneToStoppingWorkers(t *testing.T) {
	p := project(t)
	temporal := p.Services["temporal"]
	file := *temporal.Environment["DYNAMIC_CONFIG_FILE_PATH"]
	for _, setting := range []string{"matching.enableFairness", "frontend.enableCancelWorkerPollsOnShutdown"} {
		if !slices.ContainsFunc(temporal.Configs, func(c types.ServiceConfigObjConfig) bool {
			return c.Target == file && strings.Contains(p.Configs[c.Source].Content, setting+":\n  - value: true")
		}) {
			t.Errorf("the dynamic configuration %s does not turn %s on", file, setting)
		}
	}
}

func TestPostgresAcceptsTheConnectionsOfThreeWorkers(t *testing.T) {
	match := regexp.MustCompile(`env:"WORKER_CONCURRENCY" envDefault:"(\d+)"`).FindStringSubmatch(read(t, "internal/service/config/config.go"))
	if match == nil {
		t.Fatal("config.go has no default for WORKER_CONCURRENCY")
	}
	concurrency, err := strconv.Atoi(match[1])
	if err != nil {
		t.Fatal(err)
	}
	// docs/postgres.md has the numbers of api and worker. Each of Temporal's four services has 20 connections to one
	// database and 10 to the other. Postgres keeps 3 for superusers, and migrate and demo have up to 4 each.
	need := (concurrency + 16) + 3*(3*concurrency+16) + 4*(20+10) + 3 + 4 + 4
	command := strings.Join(project(t).Services["postgres"].Command, " ")
	setting := regexp.MustCompile(`\bmax_connections=(\d+)`).FindStringSubmatch(command)
	if setting == nil {
		t.Fatalf("Postgres has the default of 100 connections, and the services may open %d", need)
	}
	if most, err := strconv.Atoi(setting[1]); err != nil || most < need {
		t.Errorf("Postgres accepts %s connections, and the services may open %d", setting[1], need)
	}
}

func TestKeysAreOnlyMadeOnRequest(t *testing.T) {
	for name, service := range project(t).Services {
		if slices.Contains(service.Command, "--key") || slices.Contains(service.Command, "keys") {
			t.Errorf("every start of the service %s makes a key", name)
		}
	}
}

func TestEveryVariableOfMemexportIsASetting(t *testing.T) {
	source := read(t, "internal/service/config/config.go")
	others := regexp.MustCompile(`^(TEMPORAL|AWS)_`) // the SDKs read these
	for name, service := range project(t).Services {
		if service.Image != "memexport" {
			continue
		}
		for variable := range service.Environment {
			if !others.MatchString(variable) && !strings.Contains(source, `env:"`+variable+`"`) {
				t.Errorf("the service %s sets %s, which memexport does not have", name, variable)
			}
		}
	}
}

// Compose 1 is another program, docker-compose. It refuses the file, and so does Compose 2 before 2.23.1.
func TestPeopleAreToldWhichComposeTheyNeed(t *testing.T) {
	inline := false
	for _, c := range project(t).Configs {
		inline = inline || c.Content != ""
	}
	if !inline {
		t.Error("no config has its content in the file any more: find out which Compose the file needs now")
	}
	for path, needs := range map[string]string{
		"docker-compose.yml": `Docker with Compose 2\.23\.1 or newer \(.docker compose., not\s+#\s+.docker-compose.\)`,
		"docs/deploying.md":  `needs Docker with Compose 2\.23\.1\s+or newer:`,
	} {
		if !regexp.MustCompile(needs).MatchString(read(t, path)) {
			t.Errorf("%s does not say which Compose it needs: %s", path, needs)
		}
	}
}

func TestTheCommandsOfThePagesAreOfCompose2AndNameServices(t *testing.T) {
	services, commands := project(t).Services, 0
	old := regexp.MustCompile(`\bdocker-compose (?:-|build|config|down|exec|logs|ps|pull|restart|run|start|stop|up)`)
	named := regexp.MustCompile(`\bdocker compose (?:exec|logs|run)(?: -T| --rm| --no-log-prefix)* ([a-z0-9][a-z0-9-]*)`)
	for path := range strings.Lines(run(t, "git", "ls-files", "*.md", "docker-compose.yml", "deploy/compose", "tools/compose/*.sh")) {
		path = strings.TrimSpace(path)
		if match := old.FindString(read(t, path)); match != "" {
			t.Errorf("%s has the command %q of Compose 1", path, match)
		}
		for _, match := range named.FindAllStringSubmatch(read(t, path), -1) {
			commands++
			if _, ok := services[match[1]]; !ok {
				t.Errorf("%s has the command %q, and there is no such service", path, match[0])
			}
		}
	}
	if commands < 5 {
		t.Errorf("%d commands name services", commands)
	}
}

// walk.sh runs the commands that README.md and docker-compose.yml show to people. It finds the commands by
// these lines.
func TestTheWalkFindsItsCommands(t *testing.T) {
	for path, text := range map[string]string{
		"README.md":          "\nWith curl:\n\n```sh\nexport KEY=$(cat .dev/api-key) BASE=$(cat .dev/base-url)\nID=$(curl ",
		"docker-compose.yml": "\n#   export BASE=http://127.0.0.1:8080 KEY=$(docker compose run ",
	} {
		if !strings.Contains(read(t, path), text) {
			t.Errorf("%s does not have the lines %q: change tools/compose/walk.sh too", path, text)
		}
	}
}
