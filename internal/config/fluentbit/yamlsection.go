package fluentbit

import (
	"strings"

	"go.yaml.in/yaml/v3"

	"fluent-bit-defender/internal/config/yamldoc"
)

// sections reads a list of sections.
func (y *yamlReader) sections(kind string, k, v *yaml.Node) error {
	if v.Kind != yaml.SequenceNode {
		problem, remedy := k.Value+" is not a list", "begin each entry under it with a dash"
		if yamldoc.IsNull(v) {
			problem, remedy = k.Value+" has nothing under it, and Fluent Bit refuses that",
				"remove the line, or write: "+k.Value+": []"
		}

		return y.fail(k, problem, remedy)
	}

	for _, item := range v.Content {
		if item.Kind != yaml.MappingNode {
			return y.fail(item, "an entry of "+k.Value+" is not a mapping", "write keys with values")
		}

		if err := y.section(kind, item); err != nil {
			return err
		}
	}

	return nil
}

// flat reads a section whose values are plain: service, and sections that Fluent Bit
// does not know.
func (y *yamlReader) flat(kind string, k, v *yaml.Node) error {
	if v.Kind != yaml.MappingNode {
		problem := k.Value + " is not a mapping"
		if yamldoc.IsNull(v) {
			problem = k.Value + " has nothing under it, and Fluent Bit refuses that"
		}

		return y.fail(k, problem, "write keys with values under it, or remove it")
	}

	s := Section{
		Kind: kind,
		Name: k.Value,
		File: y.path,
		Line: k.Line,
	}
	free := strings.EqualFold(k.Value, "extensions")
	err := y.pairs(v, func(key, value *yaml.Node) error {
		telemetry := kind == "service" && value.Kind == yaml.MappingNode && strings.EqualFold(key.Value, "telemetry")
		switch {
		case value.Kind == yaml.ScalarNode:
			if text := trim(value.Value); text != "" || value.Value == "" {
				s.add(Prop{Key: snake(key.Value), Value: text, Line: key.Line})
			}
		case free || telemetry:
			s.add(Prop{Key: snake(key.Value), Line: key.Line, Nested: true})
		default:
			return y.fail(key, key.Value+" is not a plain value", "write one value")
		}

		return nil
	})
	y.file.Sections = append(y.file.Sections, s)

	return err
}

func (s *Section) add(p Prop) {
	p.File = s.File
	s.Props = append(s.Props, p)
}

// section reads one entry of a list: a plugin, a parser and the like.
func (y *yamlReader) section(kind string, n *yaml.Node) error {
	s := Section{
		Kind: kind,
		Name: kind,
		File: y.path,
		Line: n.Line,
	}
	plugin := kind == "input" || kind == "filter" || kind == "output" || kind == "custom" || kind == Processor

	err := y.pairs(n, func(k, v *yaml.Node) error {
		if !plugin {
			s.add(Prop{
				Key:    snake(k.Value),
				Value:  v.Value,
				Line:   k.Line,
				Nested: v.Kind != yaml.ScalarNode,
			})

			return nil
		}

		return y.property(&s, k, v)
	})
	if err != nil {
		return err
	}

	if kind == Processor {
		y.processors = append(y.processors, s)
	} else {
		y.file.Sections = append(y.file.Sections, s)
	}

	return nil
}

// property reads one key of a plugin.
func (y *yamlReader) property(s *Section, k, v *yaml.Node) error {
	p := Prop{Key: snake(k.Value), Line: k.Line}

	nested := s.Kind == Processor || k.Value == "routes" || s.Kind == "input" && k.Value == "telemetry"
	switch {
	case v.Kind == yaml.ScalarNode:
		p.Value = trim(v.Value)
		if p.Value == "" && v.Value != "" {
			return y.fail(k, k.Value+" consists of blanks, and Fluent Bit refuses that",
				"write a value, or remove the key")
		}

		s.add(p)

		return nil
	case k.Value == "processors":
		p.Nested = true
		s.add(p)

		return y.processorLists(s, k, v)
	case nested:
		p.Nested = true
		s.add(p)

		if k.Value == "routes" {
			s.Routes = append(s.Routes, routes(v)...)
		}

		return nil
	case v.Kind != yaml.SequenceNode:
		return y.fail(k, k.Value+" is a structure, which Fluent Bit does not take here",
			"write one value, or a list of values")
	case len(v.Content) == 0:
		return y.fail(k, k.Value+" is an empty list, and Fluent Bit refuses that", "remove the key")
	}

	for _, item := range v.Content {
		if item.Kind != yaml.ScalarNode {
			return y.fail(item, "the list "+k.Value+" has an entry that is not a plain value",
				"write one value after each dash")
		}

		p.Value, p.Line = item.Value, item.Line
		s.add(p)
	}

	return nil
}

// processorLists reads the processors of an input or output: lists under logs, metrics,
// traces.
func (y *yamlReader) processorLists(s *Section, k, v *yaml.Node) error {
	if v.Kind != yaml.MappingNode {
		return y.fail(k, "processors is not a mapping", "write logs: under it, and a list under that")
	}

	return y.pairs(v, func(signal, list *yaml.Node) error {
		name := strings.ToLower(signal.Value)
		if name != "logs" && name != "metrics" && name != "traces" {
			return y.fail(signal, "processors has an unknown part", "use logs, metrics or traces")
		}

		y.processors = nil
		if err := y.sections(Processor, signal, list); err != nil {
			return err
		}

		if name == "logs" {
			s.Processors = append(s.Processors, y.processors...)
		}

		return nil
	})
}

// routes returns the routes under a routes key, with the outputs that they name.
func routes(n *yaml.Node) []Route {
	var all []Route

	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			all = append(all, routes(n.Content[i+1])...)
		}

		return all
	}

	for _, item := range n.Content {
		r := Route{Name: child(item, "name").Value}
		for _, out := range child(child(item, "to"), "outputs").Content {
			if out.Kind == yaml.MappingNode {
				out = child(out, "name")
			}

			r.Outputs = append(r.Outputs, out.Value)
		}

		all = append(all, r)
	}

	return all
}

// child returns the value of a key of a mapping, or an empty node.
func child(n *yaml.Node, key string) *yaml.Node {
	if n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				return n.Content[i+1]
			}
		}
	}

	return &yaml.Node{}
}
