package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"fluent-bit-defender/internal/cli/connector"
	"fluent-bit-defender/internal/cloud"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/instance"
	"fluent-bit-defender/internal/secret"
	"fluent-bit-defender/tokens"
)

// importing is one run of `tokens import`.
type importing struct {
	c                               *cli
	set                             *settings
	refreshFile, secretOut, tenName string
	json                            bool
}

// imported is the result, as --json prints it.
type imported struct {
	TenantID string `json:"tenant_id"`
	Tenant   string `json:"tenant"`
	ClientID string `json:"client_id"`
	API      string `json:"api"`
	Resource string `json:"resource"`
	Stored   bool   `json:"stored"`
	DataDir  string `json:"data_dir"`
	Input    string `json:"input"`
}

func (c *cli) importCommand() *cobra.Command {
	im := &importing{c: c}
	cmd := &cobra.Command{
		Use: "import FILE", Short: "Take over the settings and token of an ArcSight or Splunk connector", Args: cobra.ExactArgs(1),
		Long: "Reads client id, secret, token URL, resource and refresh token from a WDATP-connector.properties (ArcSight) or a Splunk authentication " +
			"properties file, asks for what it leaves blank, stores the refresh token, and prints an [INPUT] for it. Nothing is asked over the network: see " +
			"tokens refresh. The application secret is not stored; --secret-out writes it to a file for client_secret_file.",
		Example: "  defenderctl tokens import WDATP-connector.properties --tenant-name contoso --region eu \\\n" +
			"      --refresh-token-file rt.txt --secret-out /etc/fluent-bit/mssp-app",
		RunE: func(cmd *cobra.Command, args []string) error { return im.run(cmd.Context(), args[0]) },
	}
	im.set = newSettings(c, cmd, networkKeys, targetKeys, credentialKeys, map[string]string{"tenant_id": "the customer's tenant, where the file has no token_url"})
	f := cmd.Flags()
	f.StringVar(&im.tenName, "tenant-name", "", "label for people (default the tenant id)")
	f.StringVar(&im.refreshFile, "refresh-token-file", "", "file with the refresh token, where the connector's has none")
	f.StringVar(&im.secretOut, "secret-out", "", "write the application secret to this file (0600)")
	f.BoolVar(&im.json, "json", false, "print JSON")
	return cmd
}

func (im *importing) run(ctx context.Context, path string) error {
	c := im.c
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	data, err := io.ReadAll(io.LimitReader(f, connector.MaxBytes+1))
	if info, err := f.Stat(); err == nil && info.Mode().Perm()&0o077 != 0 {
		c.say("warning: %s has mode %#o: other users may read what is secret in it; chmod 600 it, and remove it when the input works", path, info.Mode().Perm())
	}
	f.Close()
	if err != nil {
		return err
	}
	found, err := connector.Parse(data)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	keys, err := im.keys(path, found)
	if err != nil {
		return err
	}
	clientSecret, err := im.secret(ctx, found, keys)
	if err != nil {
		return err
	}
	refresh, err := im.refreshToken(ctx, found)
	if err != nil {
		return err
	}
	if keys["api"] == string(cloud.SIEM) && keys["region"] == "" && keys["api_url"] == "" && (keys["cloud"] == "" || keys["cloud"] == string(cloud.Commercial)) {
		v, err := c.ask(ctx, "Region of the customer's data (us, eu or uk): ", false)
		if err != nil {
			return err
		}
		if keys["region"] = strings.ToLower(v.Reveal()); v.IsZero() {
			return usagef("the file does not tell the region: give --region us, eu or uk")
		}
	}
	checked := config.Map{"grant": "refresh_token"}
	for k, v := range keys {
		checked[k] = v
	}
	t, err := c.tenant(checked)
	if err != nil {
		return err
	}
	return im.keep(ctx, t, keys, clientSecret, refresh)
}

// keys are those of the [INPUT]; flags go before the file.
func (im *importing) keys(path string, found connector.Settings) (config.Map, error) {
	keys := config.Map(im.set.given())
	fill := func(key, value string) {
		if keys[key] == "" && value != "" {
			keys[key] = value
		}
	}
	if im.tenName != "" {
		keys["tenant_name"] = im.tenName
	}
	for _, key := range []string{"ca_file", "client_secret_file", "client_certificate_file"} {
		if keys[key] != "" {
			keys[key] = absolute(keys[key]) // Fluent Bit starts elsewhere
		}
	}
	fill("tenant_id", found.TenantID)
	fill("client_id", found.ClientID)
	fill("resource", found.Resource)
	if keys["tenant_id"] == "" {
		return nil, usagef("%s has no token_url, which names the tenant: give --tenant-id", path)
	}
	if keys["client_id"] == "" {
		return nil, usagef("%s has no client_id: give --client-id", path)
	}
	fill("api", apiOf(keys["resource"]))
	if strings.Contains(strings.ToLower(keys["resource"]), "wdatpalertexport.seville") {
		im.c.say("note: the resource %s is the one of before April 2018; if sign-in refuses it, remove the key resource", keys["resource"])
	}
	host := tokens.LoginHost(cmp.Or(keys["login_url"], found.LoginURL))
	if keys["api_url"] == "" && found.EventsURL != "" {
		fromEvents(keys, found, host)
	}
	fill("cloud", string(cloudOf(host)))
	if target, err := cloud.Lookup(cloud.Cloud(keys["cloud"]), cloud.Graph, ""); err != nil || tokens.LoginHost(target.LoginURL) != host {
		fill("login_url", found.LoginURL)
	}
	if keys["cloud"] == string(cloud.Commercial) {
		delete(keys, "cloud")
	}
	return keys, nil
}

// fromEvents takes cloud and region from the host of the API in the file, if it is one that is known and belongs to the sign-in service login;
// another one becomes api_url. A cloud or region that was given as a flag goes before the file.
func fromEvents(keys config.Map, found connector.Settings, login string) {
	given := keys["cloud"] != "" || keys["region"] != ""
	events := tokens.LoginHost(found.EventsURL)
	for _, row := range cloud.Table() {
		switch {
		case string(row.API) != keys["api"] || tokens.LoginHost(row.APIURL) != events || login != "" && tokens.LoginHost(row.LoginURL) != login:
		case row.Region == "" && found.Region != "": // the same host stands there with its region
		case keys["cloud"] != "" && keys["cloud"] != string(row.Cloud) || keys["region"] != "" && !strings.EqualFold(keys["region"], row.Region):
		default:
			keys["cloud"], keys["region"] = string(row.Cloud), row.Region
			return
		}
	}
	if !given {
		keys["api_url"] = found.EventsURL
	}
}

// apiOf tells an API by its resource; what is not known is the alert exporter, which these files were made for.
func apiOf(resource string) string {
	if resource == "" {
		return string(cloud.SIEM)
	}
	for _, row := range cloud.Table() {
		if strings.EqualFold(strings.TrimRight(row.Resource, "/"), strings.TrimRight(resource, "/")) {
			return string(row.API)
		}
	}
	return string(cloud.SIEM)
}

// secret finds the application secret: by flag or environment, in the file, or by asking. Without an answer the [INPUT] takes it from the
// environment.
func (im *importing) secret(ctx context.Context, found connector.Settings, keys config.Map) (secret.Text, error) {
	c := im.c
	if keys["client_secret_file"] != "" || keys["client_certificate_file"] != "" {
		return secret.Text{}, nil
	}
	if im.set.clientSecret != "" {
		c.say("warning: everybody on this machine can see --client-secret in the process list; use --client-secret-file or $DEFENDER_CLIENT_SECRET")
		return secret.New(im.set.clientSecret), nil
	}
	if v, ok := c.LookupEnv("DEFENDER_CLIENT_SECRET"); ok && v != "" {
		return secret.New(v), nil
	}
	if !found.ClientSecret.IsZero() {
		return found.ClientSecret, nil
	}
	return c.ask(ctx, "The file leaves the application secret blank. Secret (Enter to leave it to $DEFENDER_CLIENT_SECRET): ", true)
}

func (im *importing) refreshToken(ctx context.Context, found connector.Settings) (secret.Text, error) {
	if im.refreshFile != "" {
		return readSecretFile("--refresh-token-file", im.refreshFile)
	}
	if !found.RefreshToken.IsZero() {
		return found.RefreshToken, nil
	}
	v, err := im.c.ask(ctx, "The file has no refresh token. Refresh token: ", true)
	if err == nil && v.IsZero() {
		err = usagef("the file has no refresh token: give --refresh-token-file, or sign in with tokens acquire")
	}
	return v, err
}

// keep stores the token and prints the [INPUT].
func (im *importing) keep(ctx context.Context, t config.Tenant, keys config.Map, clientSecret, refresh secret.Text) error {
	c := im.c
	out, err := createSecretFile(im.secretOut)
	if err != nil {
		return err
	}
	defer out.abandon()
	if out != nil && clientSecret.IsZero() {
		return usagef("--secret-out: there is no application secret to write")
	}
	s, err := c.open(place{})
	if err != nil {
		return err
	}
	defer s.Close()
	key := instance.Application(t, c.log).ChainKey()
	if _, err := ready(ctx, s, key); err != nil {
		return err
	}
	if err := out.write(clientSecret); err != nil {
		return err
	}
	if err := tokens.Adopt(ctx, s.Tokens(), key, refresh, "", im.tenName, c.Now()); err != nil {
		return err
	}
	dir, err := c.dir("")
	if err != nil {
		return err
	}
	switch {
	case keys["client_secret_file"] != "" || keys["client_certificate_file"] != "":
	case out != nil:
		if keys["client_secret_file"], err = filepath.Abs(im.secretOut); err != nil {
			return err
		}
	default:
		keys["client_secret"] = "${DEFENDER_CLIENT_SECRET}"
		c.say("the application secret is not stored: set DEFENDER_CLIENT_SECRET in Fluent Bit's environment, or use --secret-out")
	}
	keys["data_dir"], keys["key_file"] = dir, c.keyPath("")
	text := inputSection(t, keys)
	if im.json {
		return printJSON(c.Out, imported{TenantID: t.TenantID, Tenant: t.TenantName, ClientID: t.ClientID, API: string(t.API), Resource: t.Resource, Stored: true, DataDir: dir, Input: text})
	}
	c.tell("%s: the refresh token is stored in %s", label(t.TenantName, t.TenantID), dir)
	_, err = io.WriteString(c.Out, text)
	return err
}

// inputSection writes an [INPUT] for Fluent Bit, keys in the order of the reference page.
func inputSection(t config.Tenant, keys config.Map) string {
	var b strings.Builder
	row := func(key, value string) {
		if value != "" {
			fmt.Fprintf(&b, "    %-15s %s\n", key, value)
		}
	}
	b.WriteString("[INPUT]\n")
	row("Name", "defender")
	row("Tag", "defender."+cmp.Or(keys["tenant_name"], t.TenantID))
	row("Threaded", "Off")
	row("storage.type", "filesystem")
	for _, o := range config.Options() {
		row(o.Name, keys[o.Name])
	}
	return b.String()
}
