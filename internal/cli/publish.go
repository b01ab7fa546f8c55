package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/relmat/relmat/internal/fsx"
	"github.com/relmat/relmat/internal/progress"
	"github.com/relmat/relmat/internal/publish"
)

// publishOptions are the flags of relmat publish.
type publishOptions struct {
	githubOptions
	to                string
	replace           bool
	draft, prerelease bool
	checksums, dryRun bool
	checksumFiles     bool
}

// githubOptions are the flags that all commands have which write a release on
// GitHub.
type githubOptions struct {
	repo, name, notes, latest, commit string
	generate                          bool
	parallel                          int
	releaseID                         int64
}

// releaseIDFlag adds --release-id to a command that fills a release.
func (o *githubOptions) releaseIDFlag(cmd *cobra.Command) {
	cmd.Flags().Int64Var(&o.releaseID, "release-id", 0, "fill the release on GitHub with this `ID`, which another job made (default: the tag's)")
}

func (o *githubOptions) register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.repo, "repo", "", "publish on GitHub as a release of `OWNER/NAME`")
	f.StringVar(&o.name, "name", "", "the release's `TITLE` (default: the tag)")
	f.StringVar(&o.notes, "notes", "", "take the release's notes from `FILE`; - is standard input")
	f.BoolVar(&o.generate, "generate-notes", false, "let GitHub write the notes, if there are none yet")
	f.StringVar(&o.latest, "latest", "", "whether it becomes the latest release: `WORD`, one of true, false, legacy (default: GitHub's choice)")
	f.IntVar(&o.parallel, "parallel", 4, "send `N` assets at once at most")
}

// commitID is a whole SHA-1 or SHA-256 ("gitrevisions", <sha1>): what a branch
// or a short id names may be another commit on GitHub.
var commitID = regexp.MustCompile(`^[0-9A-Fa-f]{40}([0-9A-Fa-f]{24})?$`)

// apply puts the flags into what is wanted.
func (o *githubOptions) apply(cmd *cobra.Command, w *publish.Wanted) error {
	given := func(name string) bool { return cmd.Flag(name) != nil && cmd.Flag(name).Changed }
	const full = ": the latest release is a full one"
	for _, pair := range [][3]string{{"repo", "to"}, {"draft", "prerelease"}, {"notes", "generate-notes"}, {"latest", "draft", full}, {"latest", "prerelease", full}} {
		if given(pair[0]) && given(pair[1]) {
			return &usageError{fmt.Errorf("--%s and --%s exclude each other%s", pair[0], pair[1], pair[2])}
		}
	}
	switch o.latest {
	case "", "true", "false", "legacy":
	default:
		return &usageError{fmt.Errorf("--latest is %q; allowed: true, false, legacy", o.latest)}
	}
	if o.parallel < 1 || o.parallel > 64 {
		return &usageError{fmt.Errorf("--parallel is %d; allowed: 1 to 64", o.parallel)}
	}
	if given("release-id") && o.releaseID < 1 {
		return &usageError{fmt.Errorf("--release-id is %d; the id of a release is wanted, as publish --json tells it", o.releaseID)}
	}
	if o.commit != "" && !commitID.MatchString(o.commit) {
		return &usageError{fmt.Errorf("--commit is %q; a whole commit id is wanted, 40 hexadecimal digits, as `git rev-parse %[1]s` prints it", o.commit)}
	}
	w.Name, w.Latest, w.GenerateNotes = o.name, o.latest, o.generate
	w.Commit = cmp.Or(o.commit, w.Commit)
	if o.notes == "" {
		return nil
	}
	var data []byte
	var err error
	if o.notes == "-" {
		data, err = io.ReadAll(cmd.InOrStdin())
	} else {
		data, err = os.ReadFile(o.notes)
	}
	if err != nil {
		return &configError{fmt.Errorf("--notes: %w", err)}
	}
	text := string(data)
	w.Notes = &text
	return nil
}

// checkPlace refuses flags that have no meaning where the release goes.
func checkPlace(cmd *cobra.Command) error {
	if cmd.Flag("to").Changed {
		for _, name := range []string{"draft", "prerelease", "latest", "name", "notes", "generate-notes", "release-id"} {
			if cmd.Flag(name).Changed {
				return &usageError{fmt.Errorf("--to and --%s exclude each other: a release in a directory is its files, and nothing else", name)}
			}
		}
		return nil
	}
	switch {
	case !cmd.Flag("replace").Changed:
	case cmd.Flag("repo").Changed:
		return &usageError{errors.New("--repo and --replace exclude each other: on GitHub each asset takes the place of the one of its name anyway")}
	default:
		return &usageError{errors.New("--replace needs --to DIR: on GitHub each asset takes the place of the one of its name anyway")}
	}
	return nil
}

// publisher makes the publisher for a repository, which the environment names
// where --repo does not.
func (a *app) github(o githubOptions) *publish.GitHub {
	api := a.apiURL()
	return &publish.GitHub{
		Repo: o.repo, ReleaseID: o.releaseID, API: api, Parallel: o.parallel, UserAgent: "relmat/" + versionText(),
		Token: func(ctx context.Context) (string, error) {
			token, err := publish.Tokens(ctx, a.Env, api)
			if err == nil && token != "" {
				a.secrets.add(token)
			}
			return token, err
		},
	}
}

func (a *app) publishCmd() *cobra.Command {
	var o publishOptions
	cmd := &cobra.Command{
		Use:   "publish --tag TAG [--repo OWNER/NAME | --to DIR] FILE...",
		Short: "Publish any files as a release on GitHub or in a directory",
		Long: `Publish makes the release of a tag on GitHub hold the files, whatever state it
is in: a draft that an interrupted run left, broken uploads, old files, or
nothing. A file that is there with the same SHA-256 is kept; another one is sent
in full before the old one goes; what else the release holds is left alone. The
release is shown to everyone last, when all files are there. After any error,
run the same command again. It needs no targets.yaml and no checkout. With --draft
and no file it makes an empty draft, whose id --json tells and --release-id takes.

The token is that of GITHUB_TOKEN, GH_TOKEN or gh auth token, in this order. The
repository is that of --repo, GITHUB_REPOSITORY or the remote origin, if that is
on the API's server.`,
		Example: "  relmat publish --tag v1.2.0 --checksums dist/*.zip\n  relmat publish --repo octo/tool --tag v1.3.0-rc.1 --notes CHANGES.md --dry-run tool.tar.gz",
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.publish(cmd, o, args)
		},
	}
	o.register(cmd)
	o.releaseIDFlag(cmd)
	f := cmd.Flags()
	f.StringVar(&o.to, "to", "", "publish into the directory `DIR`/TAG in place of GitHub")
	f.BoolVar(&o.replace, "replace", false, "replace a directory's release that has other files")
	f.BoolVar(&o.draft, "draft", false, "leave a draft that only the repository's writers see")
	f.BoolVar(&o.prerelease, "prerelease", false, "publish as a pre-release (default for tags such as v1.2.0-rc.1)")
	f.StringVar(&o.commit, "commit", "", "the `COMMIT`, a whole id, that the tag names, or that GitHub puts it on")
	f.BoolVar(&o.checksums, "checksums", false, "add SHA256SUMS, for sha256sum --check, or its lines to the one that is there")
	f.BoolVar(&o.checksumFiles, "checksum-files", false, "add a FILE.sha256 for each file")
	f.BoolVar(&o.dryRun, "dry-run", false, "say what would be done, and do nothing")
	a.tagFlag(cmd)
	cmd.Flag("tag").Usage = "the release's `TAG`"
	return cmd
}

func (a *app) publish(cmd *cobra.Command, o publishOptions, args []string) error {
	ctx := cmd.Context()
	switch {
	case a.tag == "":
		return &usageError{errors.New("--tag TAG is missing")}
	case len(args) == 0 && (!o.draft || o.checksums || o.checksumFiles):
		return &usageError{errors.New("name at least one file to publish, or make an empty draft for other jobs by --draft alone")}
	}
	if err := checkPlace(cmd); err != nil {
		return err
	}
	w := publish.Wanted{Tag: a.tag, Checksums: o.checksums, ChecksumFiles: o.checksumFiles}
	switch {
	case o.draft:
		w.Visibility = publish.Draft
	case o.prerelease:
		w.Visibility = publish.Prerelease
	}
	if err := o.apply(cmd, &w); err != nil {
		return err
	}
	digests := fsx.OpenDigests("")
	var p publish.Publisher = &publish.Dir{Path: o.to, Replace: o.replace, DryRun: o.dryRun, Digests: digests}
	if o.to == "" {
		if o.repo == "" {
			var err error
			if o.repo, err = a.findRepo(ctx); err != nil {
				return err
			}
		}
		gh := a.github(o.githubOptions)
		gh.Digests = digests
		p = gh
	}
	return a.reporting(func(rep *progress.Reporter) error {
		var err error
		if w.Files, err = sized(args); err != nil {
			return err
		}
		to := cmp.Or(o.to, o.repo)
		// Sizes and names come first: gigabytes are hashed for nothing else.
		task := rep.Begin("", "preflight", to+" "+w.Tag)
		if err := p.Preflight(ctx, w, task); err != nil {
			return failed(task, err)
		}
		task.Done("%s takes %s", to, w.Tag)
		if err := digest(ctx, rep, digests, w.Files); err != nil {
			return err
		}
		task = rep.Begin("", "publish", to+" "+w.Tag)
		if o.dryRun {
			plan, err := p.Plan(ctx, w, task)
			if err != nil {
				return failed(task, err)
			}
			task.Done("planned")
			return a.showPublishPlan(plan)
		}
		res, err := p.Publish(ctx, w, task)
		if err != nil {
			return failed(task, err)
		}
		said := task.Done
		if res.Outcome == publish.Unchanged {
			said = task.Reused
		}
		said("%s: %s", res.URL, progress.Count(len(res.Assets), "asset"))
		link(rep, res)
		return a.publishedResult(w.Tag, res)
	})
}

// link names the addresses of a release on GitHub and of its assets.
func link(rep *progress.Reporter, res *publish.Result) {
	if res.ID == 0 {
		return
	}
	rep.Link("the release", res.URL)
	for _, f := range res.Assets {
		if at := res.Link(f.Name); at != "" {
			rep.Link(f.Name, at)
		}
	}
}

func failed(task *progress.Task, err error) error {
	task.Failed()
	return err
}

// sized describes files by what the file system says of them; their digests
// are not known yet.
func sized(paths []string) ([]publish.File, error) {
	var files []publish.File
	var infos []fs.FileInfo
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, &configError{fmt.Errorf("the file to publish: %w", err)}
		}
		if !info.Mode().IsRegular() {
			what := "it is no regular file"
			if info.IsDir() {
				what = "it is a directory; name the files in it"
			}
			return nil, &configError{fmt.Errorf("the file to publish: %w", &fs.PathError{Op: "publish", Path: path, Err: errors.New(what)})}
		}
		for i, f := range files {
			if f.Name != filepath.Base(path) || !os.SameFile(infos[i], info) {
				continue
			}
			if f.Path == path {
				return nil, &configError{fmt.Errorf("the file %s is named twice; name it once", path)}
			}
			return nil, &configError{fmt.Errorf("%s and %s are the same file; name it once", f.Path, path)}
		}
		infos = append(infos, info)
		files = append(files, publish.File{Name: filepath.Base(path), Path: path, Size: info.Size()})
	}
	return files, nil
}

// digest hashes the files.
func digest(ctx context.Context, rep *progress.Reporter, digests *fsx.Digests, files []publish.File) error {
	var total int64
	for _, f := range files {
		total += f.Size
	}
	task := rep.Begin("", "digest", progress.Bytes(total))
	done := int64(0)
	for i, f := range files {
		if err := ctx.Err(); err != nil {
			return failed(task, context.Cause(ctx))
		}
		sum, size, err := digests.File(f.Path)
		if err != nil {
			return failed(task, err)
		}
		if size != f.Size {
			return failed(task, fmt.Errorf("%s: %w", f.Path, publish.ErrChanged))
		}
		files[i].SHA256 = sum
		done += size
		task.Bytes(done, total)
	}
	task.Done("%s, %s", progress.Count(len(files), "file"), progress.Bytes(total))
	return nil
}

func (a *app) publishedResult(tag string, res *publish.Result) error {
	if a.asJSON {
		return a.json(struct {
			Schema int    `json:"schema"`
			Tag    string `json:"tag"`
			*publish.Result
		}{1, tag, res})
	}
	fmt.Fprintf(a.Out, "%s: %s\n", res.Outcome, res.URL)
	w := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
	for _, f := range res.Assets {
		fmt.Fprintf(w, "  %s\t%s\tsha256:%.12s…\n", f.Name, progress.Bytes(f.Size), f.SHA256)
	}
	return w.Flush()
}

func (a *app) showPublishPlan(p *publish.Plan) error {
	if a.asJSON {
		return a.json(struct {
			Schema int `json:"schema"`
			*publish.Plan
		}{1, p})
	}
	is := "no release yet"
	if p.Release != nil {
		is = p.Release.String()
	}
	fmt.Fprintf(a.Out, "%s %s: %s\n", p.To, p.Tag, is)
	w := tabwriter.NewWriter(a.Out, 0, 0, 2, ' ', 0)
	steps := func(list []publish.ReleaseStep) {
		for _, s := range list {
			fmt.Fprintf(w, "  %s\t%s\t%s\n", s.Kind, strings.Join(s.Fields, ", "), s.Why)
		}
	}
	steps(p.Before)
	for _, s := range p.Assets {
		// Temporary names are long, and --json has them.
		fmt.Fprintf(w, "  %s\t%s\t%s\n", s.Kind, s.Name, s.Why)
	}
	steps(p.After)
	for _, name := range p.Foreign {
		fmt.Fprintf(w, "  leave\t%s\tnone of these files\n", name)
	}
	return w.Flush()
}
