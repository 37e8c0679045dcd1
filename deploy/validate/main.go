// Validate reads everything under deploy/ as the programs would that it is for, and holds it to what the service's
// sources say. It needs no container, no cluster and no built service.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

func main() {
	root := "../.."
	if len(os.Args) > 1 {
		root = os.Args[1]
	}
	found := validate(root)
	for _, done := range found.done {
		fmt.Println("held:", done)
	}
	for _, problem := range found.problems {
		fmt.Fprintln(os.Stderr, "wrong:", problem)
	}
	if len(found.problems) > 0 {
		fmt.Fprintf(os.Stderr, "%d to mend\n", len(found.problems))
		os.Exit(1)
	}
}

// findings are what a run of all checks comes to.
type findings struct {
	root     string
	problems []string
	done     []string
}

func validate(root string) *findings {
	f := &findings{root: root}
	source := readSource(f)
	settings := checkSettings(f, source)
	checkImage(f, source, settings)
	checkCompose(f, source, settings["deploy/compose/muster.toml"])
	checkKubernetes(f, source, settings["deploy/kubernetes/settings/muster.toml"])
	checkAlerts(f, source)
	checkLinks(f)
	return f
}

// wrong notes what must be mended, and where.
func (f *findings) wrong(where, format string, arguments ...any) {
	f.problems = append(f.problems, where+": "+fmt.Sprintf(format, arguments...))
}

// must notes what must be mended unless something holds.
func (f *findings) must(holds bool, where, format string, arguments ...any) {
	if !holds {
		f.wrong(where, format, arguments...)
	}
}

func (f *findings) held(format string, arguments ...any) {
	f.done = append(f.done, fmt.Sprintf(format, arguments...))
}

// read is the text of a file of the repository.
func (f *findings) read(path string) string {
	text, err := os.ReadFile(filepath.Join(f.root, path))
	if err != nil {
		f.wrong(path, "cannot be read: %v", err)
	}
	return string(text)
}

func (f *findings) exists(path string) bool {
	_, err := os.Stat(filepath.Join(f.root, path))
	return err == nil
}

var pinned = regexp.MustCompile(`^[a-z0-9./-]+:[0-9][A-Za-z0-9._-]*\.[0-9][A-Za-z0-9._-]*(@sha256:[0-9a-f]{64})?$`)

// checkTag holds an image to a version of its own, and Muster's to that of the repository.
func checkTag(f *findings, source *source, where, image string) {
	f.must(pinned.MatchString(image), where, "image `%s`: name a version of at least two numbers", image)
	if tag, is := strings.CutPrefix(image, "muster:"); is {
		f.must(tag == source.version, where, "image `%s`: the repository is at version %s", image, source.version)
	}
}

// checkProbe holds a path that is asked without a token to the routes that need none.
func checkProbe(f *findings, source *source, where, path string) {
	need, there := source.routes[path]
	f.must(there, where, "`%s` is no path in host/src/api/routes.rs", path)
	f.must(!there || need == "Open", where, "`%s` needs a token, which a probe has not", path)
}

var link = regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)

// checkLinks looks up what the operations page links to.
func checkLinks(f *findings) {
	const page = "deploy/README.md"
	links := link.FindAllStringSubmatch(f.read(page), -1)
	for _, link := range links {
		f.must(f.exists(filepath.Join("deploy", link[1])), page, "links to `%s`, which is not there", link[1])
	}
	f.held("%s: %d links lead somewhere", page, len(links))
}
