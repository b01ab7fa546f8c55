package incidents

// windowsIncidents are those of programs that find their DLLs by a delay-load
// hook, as MLX does.
func windowsIncidents() []incident {
	const triple, layout = "x86_64-pc-windows-msvc", "layout: {style: mlx-windows}"
	const ownUnsigned = `sign: {tool: none, reason: "it is the vendor's signatures that count here"}`
	dll := func(p *tree, path string) {
		p.put(path, peFile{dll: true, signed: true, text: "a DLL"}.bytes(p.t), 0o644)
	}
	program := func(text string) func(*tree) {
		return func(p *tree) {
			p.put("bin/app.exe", peFile{imports: []string{"KERNEL32.dll"}, delays: []string{"cublas64_13.dll", "cudnn64_9.dll"}, text: text}.bytes(p.t), 0o755)
			p.eula("cublas.dll", "cudnn.dll", "cudnn64_9.dll")
		}
	}
	all := func(p *tree) {
		dll(p, "nvidia/cublas/bin/cublas64_13.dll")
		dll(p, "nvidia/cudnn/bin/cudnn64_9.dll")
	}
	return []incident{
		{number: 17, name: "a delay-loaded DLL absent", cases: []ruleCase{
			{
				name: "not in the package", rules: []string{"delay-import"}, says: `(?i)cudnn64_9\.dll`, triple: triple, pkg: layout,
				common: program(""), mended: all, broken: func(p *tree) { dll(p, "nvidia/cublas/bin/cublas64_13.dll") },
			},
			{
				name: "where the hook does not look", rules: []string{"delay-import"}, says: `(?i)lib/cudnn64_9\.dll is in the package`, triple: triple, pkg: layout,
				common: program(""), mended: all, broken: func(p *tree) {
					dll(p, "nvidia/cublas/bin/cublas64_13.dll")
					dll(p, "lib/cudnn64_9.dll")
				},
			},
		}},
		{number: 18, name: "the hook's directory is the build machine's", cases: []ruleCase{{
			name: "MLX_CUDA_BIN_DIR compiled in", rules: []string{"leak"}, says: `NVIDIA GPU Computing Toolkit`, triple: triple, pkg: layout,
			common: all, mended: program("../nvidia/cublas/bin"), broken: program("C:/Program Files/NVIDIA GPU Computing Toolkit/CUDA/v13.0/bin/x64"),
		}}},
		{number: 24, name: "a DLL rewritten, its signature gone", cases: []ruleCase{
			{
				name: "told by the signature", rules: []string{"signature"}, says: `no Authenticode signature`, triple: triple, pkg: layout, target: ownUnsigned,
				common: program(""), mended: all, broken: func(p *tree) {
					all(p)
					rewrite(p)
				},
			},
			{
				name: "told by the wheel's list", rules: []string{"vendor-identity", "signature"},
				says: `no wheel of the toolkit has a file of this content|no Authenticode signature`, triple: triple, pkg: layout, target: ownUnsigned,
				vendor: func(p *tree) func(string) (string, bool) { return wheelOf(p.known...) },
				common: func(p *tree) {
					program("")(p)
					all(p)
					p.known = append(p.known, p.read("nvidia/cudnn/bin/cudnn64_9.dll"), p.read("licenses/nvidia/License.txt"))
				},
				mended: func(p *tree) { p.list(map[string]string{"app": "bin/app.exe"}, dllWheels) },
				broken: func(p *tree) {
					rewrite(p)
					p.list(map[string]string{"app": "bin/app.exe"}, dllWheels)
				},
			},
		}},
	}
}

// rewrite loses a DLL's signature, as tools that write into a DLL do.
func rewrite(p *tree) {
	const path = "nvidia/cudnn/bin/cudnn64_9.dll"
	p.put(path, unsigned(p.t, p.read(path)), 0o644)
}

var dllWheels = map[string]string{
	"nvidia/cublas/bin/cublas64_13.dll": "nvidia-cublas 13.1.0.3",
	"nvidia/cudnn/bin/cudnn64_9.dll":    "nvidia-cudnn-cu13 9.14.0.64",
	"licenses/nvidia/License.txt":       "nvidia-cudnn-cu13 9.14.0.64",
}

// wheelOf knows files by their content, as the lists of wheels do.
func wheelOf(files ...[]byte) func(string) (string, bool) {
	return func(sha256 string) (string, bool) {
		for _, f := range files {
			if digest(f) == sha256 {
				return "nvidia-wheel 1.0", true
			}
		}
		return "", false
	}
}
