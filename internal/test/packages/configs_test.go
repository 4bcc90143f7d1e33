package packages

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"fluent-bit-defender/internal/cli"
)

// read returns a file of deploy.
func read(t *testing.T, name string) string {
	t.Helper()

	text, err := os.ReadFile(filepath.Join(root, "deploy", name))
	if err != nil {
		t.Fatal(err)
	}

	return string(text)
}

func decode(t *testing.T, name string, into any) {
	t.Helper()

	if err := yaml.Unmarshal([]byte(read(t, name)), into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// configs returns the configurations of Fluent Bit that deploy has: each a set of files.
func configs(t *testing.T) map[string]map[string]string {
	t.Helper()

	var configMap, three struct{ Data map[string]string }
	decode(t, "kubernetes/configmap.yaml", &configMap)
	decode(t, "kubernetes/high-availability/configmap.yaml", &three)

	var values struct {
		Config struct{ Service, Inputs, Filters, Outputs string }
	}
	decode(t, "kubernetes/chart/values.yaml", &values)
	c := values.Config
	chart := strings.Join([]string{c.Service, c.Inputs, c.Filters, c.Outputs}, "\n")
	chart = strings.NewReplacer("{{ .Values.logLevel }}", "info", "{{ .Values.metricsPort }}", "2020").Replace(chart)

	return map[string]map[string]string{
		"package":   {"fluent-bit.conf": read(t, "package/fluent-bit.conf")},
		"docker":    {"fluent-bit.conf": read(t, "docker/fluent-bit.conf")},
		"configmap": configMap.Data,
		"three":     three.Data,
		"chart":     {"fluent-bit.conf": chart},
	}
}

func TestConfigurationsOfDeployPassCheck(t *testing.T) {
	for name, files := range configs(t) {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			secrets := filepath.Join(dir, "secrets")
			t.Setenv("CREDENTIALS_DIRECTORY", secrets)

			if err := os.Mkdir(secrets, 0o700); err != nil {
				t.Fatal(err)
			}

			for secret, text := range map[string]string{
				"client_secret":          "0123456789abcdef",
				"metrics_token":          "0123456789abcdef",
				"defender.client_secret": "0123456789abcdef",
				"key":                    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
			} {
				if err := os.WriteFile(filepath.Join(secrets, secret), []byte(text), 0o400); err != nil {
					t.Fatal(err)
				}
			}

			t.Setenv("POD_NAME", "in-defender-0")
			t.Setenv("DEFENDER_STORE", "postgres://defender@postgres.example.com/defender?sslmode=verify-full")

			files["plugins.conf"] = "[PLUGINS]\n    Path /usr/lib/fluent-bit/in_defender.so\n"

			here := strings.NewReplacer(
				"/run/secrets/defender", secrets,
				"/etc/in-defender", dir,
				"/usr/share/in-defender", dir,
				"/var/lib/in-defender", dir,
				"/var/lib/fluent-bit", dir,
			)
			for file, text := range files {
				if err := os.WriteFile(filepath.Join(dir, file), []byte(here.Replace(text)), 0o644); err != nil {
					t.Fatal(err)
				}
			}

			var out bytes.Buffer

			env := cli.SystemEnv()
			env.Out, env.Err = &out, &out

			args := []string{"check", "--offline", filepath.Join(dir, "fluent-bit.conf")}
			if code := cli.Run(t.Context(), env, args); code != 0 {
				t.Errorf("exit code %d:\n%s", code, &out)
			}
		})
	}
}

func TestTheImageIsMadeOfWhatMakeBuilds(t *testing.T) {
	text := read(t, "docker/Dockerfile")
	for _, want := range []string{
		"FROM cr.fluentbit.io/fluent/fluent-bit:${FLUENT_BIT}",
		"COPY --from=build /src/build/in_defender.so /usr/lib/fluent-bit/in_defender.so",
		"COPY --from=build /src/build/defenderctl /usr/bin/defenderctl",
		"USER 10001:10001",
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("the Dockerfile has no line %q", want)
		}
	}

	version := func(file string) string {
		for line := range strings.Lines(read(t, file)) {
			if v, ok := strings.CutPrefix(strings.TrimSpace(line), "ARG FLUENT_BIT="); ok {
				return v
			}

			if v, ok := strings.CutPrefix(line, `  tag: "`); ok {
				return strings.TrimRight(v, "\"\n")
			}
		}

		return ""
	}

	image, chart := version("docker/Dockerfile"), version("kubernetes/chart/values.yaml")
	if image != chart || image == "" {
		t.Errorf("the image has Fluent Bit %q, the chart %q", image, chart)
	}
}
