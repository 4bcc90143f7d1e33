package cli_test

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// typed runs the command that a message names, as a shell reads it.
func (w *world) typed(message string) result {
	w.t.Helper()

	flat := regexp.MustCompile(`\s+`).ReplaceAllString(message, " ")

	command := regexp.MustCompile(`defenderctl tokens acquire( --[a-z-]+ ('[^']*'|[^ ;]+))+`).FindString(flat)
	if command == "" {
		w.t.Fatalf("there is no command in:\n%s", message)
	}

	out, err := exec.Command("sh", "-c", `defenderctl() { for w; do printf '%s\n' "$w"; done; }; `+command).Output()
	if err != nil {
		w.t.Fatalf("%v: %s", err, command)
	}

	return w.run(append(strings.Split(strings.TrimSuffix(string(out), "\n"), "\n"), "--timeout", "3m")...)
}

func TestTheRemedyTypedAsPrintedBringsTheTenantBack(t *testing.T) {
	for name, failing := range map[string]func(w *world, conf string) string{
		"check": func(w *world, conf string) string { return w.expect(w.run("check", conf), 3).out },
		"pull": func(w *world, conf string) string {
			return w.expect(w.run("pull", "Contoso & Sons", "--config", conf), 3).err
		},
		"tokens refresh": func(w *world, conf string) string {
			return w.expect(w.run("tokens", "refresh", contoso, "--config", conf), 3).err
		},
	} {
		for _, dead := range []bool{true, false} {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t)
				dir := w.dir + " of the input"
				conf := w.conf(
					"siem",
					"tenant_name Contoso & Sons",
					"data_dir "+dir,
					"grant refresh_token",
					"key_file "+w.key("k"),
				)
				text := string(must(os.ReadFile(conf)))
				text = strings.Replace(
					strings.Replace(text, "    tenant_name contoso\n", "", 1),
					"    data_dir "+w.dir+"\n",
					"",
					1,
				)

				conf = w.file("elsewhere.conf", text)
				if dead { // a token that was revoked, else none at all
					w.expect(w.run(w.acquire("siem", "--data-dir", dir, "--key-file", w.key("k"))...), 0)
					w.RevokeRefreshTokens(contoso, 50173)
				}

				says := failing(w, conf)
				noSecret(t, result{out: says})
				w.expect(w.typed(says), 0)
				w.expect(w.run("check", conf), 0)
			})
		}
	}
}

func TestTheListNamesTheCommandForItsOwnDirectory(t *testing.T) {
	w := newWorld(t)
	w.expect(w.run(w.acquire("graph")...), 0)
	w.RevokeRefreshTokens(contoso, 50173)
	w.run("tokens", "refresh", "contoso", "--config", w.conf("graph"))
	contains(t, w.run("tokens", "list").err, "--tenant-id "+contoso, "--tenant-name contoso",
		"--login-url "+w.LoginURL(), "--data-dir "+w.dir)
}
