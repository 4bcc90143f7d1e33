package cli

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/wiring"
)

func (c *cli) rekeyCommand() *cobra.Command {
	var (
		newKey  string
		decrypt bool
	)

	cmd := &cobra.Command{
		Use:   "rekey",
		Short: "Encrypt all stored tokens with another key",
		Args:  noArguments,
		Long: "Encrypts every stored token again. --key-file is the key they have now, --new-key-file the one they " +
			"get. Tokens that are not encrypted yet need --key-file alone; until then an input with key_file does " +
			"not use them. A tokens.db that something else has changed is accepted. The inputs must be " +
			"stopped; afterwards their key_file must name the new key.\n\n" +
			"A key: head -c 32 /dev/urandom | base64 > /etc/fluent-bit/defender.key",
		Example: "  defenderctl tokens rekey --key-file old.key --new-key-file new.key",
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.rekey(cmd.Context(), newKey, decrypt) },
	}
	cmd.Flags().StringVar(&newKey, "new-key-file", "", "file with the new key")
	cmd.Flags().BoolVar(&decrypt, "decrypt", false, "store the tokens without encryption from now on")
	cmd.MarkFlagsMutuallyExclusive("new-key-file", "decrypt")

	return cmd
}

// rekey encrypts all stored tokens with the key in the file newKey, or with that of
// --key-file if newKey is empty. With decrypt it stores them without encryption.
func (c *cli) rekey(ctx context.Context, newKey string, decrypt bool) error {
	if newKey == "" && c.keyFile == "" && !decrypt {
		return usagef("give --new-key-file, or --key-file alone for tokens that are not encrypted yet, or --decrypt")
	}

	path := wiring.AbsolutePath(cmp.Or(newKey, c.keyFile))
	if decrypt {
		path = ""
	}

	key, err := wiring.StoreKey(path)
	if err != nil {
		return err
	}

	at, err := c.at(place{})
	if err != nil {
		return err
	}

	switch {
	case at.Shared() && decrypt:
		return usagef("the tokens in a database are always encrypted, since they leave this machine; " +
			"--decrypt is for files in --data-dir")
	case !at.Shared() && !exists(at.DataDir):
		return fmt.Errorf("there is no %s: nothing is stored there", plain.Text(at.DataDir, 1024))
	}

	s, err := c.openAt(ctx, at, "defenderctl tokens rekey")
	if err != nil {
		return err
	}
	defer s.Close()

	n, err := s.Tokens().Rekey(ctx, key)
	if err != nil {
		return err
	}

	c.nameOldTokens(s, "still hold tokens as they were before")

	if decrypt {
		fmt.Fprintf(c.Out, "%d decrypted; remove key_file from the inputs\n", n)
		return nil
	}

	fmt.Fprintf(c.Out, "%d encrypted with %s; every input needs: key_file %s\n", n, path, path)

	return nil
}
