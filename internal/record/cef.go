package record

// A cefBuilder writes the CEF lines of one tenant and API.
type cefBuilder struct {
	line, move []byte
}

func (c *cefBuilder) init(o Options)                  {}
func (c *cefBuilder) alert(raw []byte, id *ID) []byte { return c.line }
func (c *cefBuilder) raw(id *ID) []byte               { return c.line }
func (c *cefBuilder) health(h Health) []byte          { return c.line }
