//! Compiles the probes with clang and generates the Rust side of wire.h with bindgen.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, exit};

/// Where the kernel's user-space headers of this machine lie (Debian's multiarch folder).
const ARCH_INCLUDE: &str = "/usr/include/x86_64-linux-gnu";

/// Compilers that are tried where CLANG names none; 11 (Debian 11) is the oldest that knows CO-RE well.
const COMPILERS: [&str; 10] = [
    "clang-14", "clang", "clang-21", "clang-20", "clang-19", "clang-18", "clang-17", "clang-16",
    "clang-15", "clang-13",
];

fn main() {
    for file in sources() {
        println!("cargo:rerun-if-changed={}", file.display());
    }
    for name in ["CLANG", "LIBCLANG_PATH", "BINDGEN_EXTRA_CLANG_ARGS"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    let clang = find_clang();
    need_header("/usr/include/bpf/bpf_helpers.h", "libbpf-dev");
    need_header("/usr/include/linux/bpf.h", "linux-libc-dev");
    compile(&clang, "tracepoint", &[], &out.join("tracepoint.bpf.o"));
    compile(&clang, "tracepoint", &["-DBLUBR_OLD"], &out.join("tracepoint_old.bpf.o"));
    need_libclang(&clang);
    generate(&out);
}

fn sources() -> Vec<PathBuf> {
    let entries = fs::read_dir(".").expect("cargo runs build scripts in the package's folder");
    let mut files: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|ext| ext == "h" || ext == "c"))
        .collect();
    files.sort();
    files
}

/// Ends the build with what is missing and the package that has it.
fn missing(what: &str, package: &str) -> ! {
    eprintln!("blubr-probes: {what} is missing: install it: apt-get install {package}");
    exit(1);
}

fn find_clang() -> String {
    if let Ok(clang) = env::var("CLANG") {
        if runs(&clang) {
            return clang;
        }
        eprintln!("blubr-probes: CLANG={clang} does not run: name a clang 13 or newer, or unset it");
        exit(1);
    }
    match COMPILERS.iter().find(|name| runs(name)) {
        Some(name) => (*name).to_owned(),
        None => missing("clang, which compiles the eBPF programs,", "clang-14"),
    }
}

fn runs(compiler: &str) -> bool {
    Command::new(compiler).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn need_header(path: &str, package: &str) {
    if !Path::new(path).exists() {
        missing(path, package);
    }
}

fn compile(clang: &str, source: &str, defines: &[&str], target: &Path) {
    let status = Command::new(clang)
        .args(["-g", "-O2", "-target", "bpf", "-mcpu=v3", "-D__TARGET_ARCH_x86"])
        .args(["-Wall", "-Werror", "-Wno-unused-function", "-idirafter", ARCH_INCLUDE])
        // No path of the machine that built it stays in the object.
        .arg(format!("-fdebug-prefix-map={}=.", env::current_dir().unwrap_or_default().display()))
        .args(defines)
        .args(["-c", &format!("{source}.bpf.c"), "-o"])
        .arg(target)
        .status();
    match status {
        Ok(status) if status.success() => {}
        Ok(_) => {
            eprintln!("blubr-probes: {clang} could not compile {source}.bpf.c: see its messages above");
            exit(1);
        }
        Err(error) => {
            eprintln!("blubr-probes: {clang} does not run: {error}");
            exit(1);
        }
    }
}

/// bindgen panics without libclang: look for it as bindgen does, and say what is missing.
fn need_libclang(clang: &str) {
    let mut folders: Vec<PathBuf> = Vec::new();
    if let Some(path) = env::var_os("LIBCLANG_PATH") {
        folders.push(PathBuf::from(path));
    }
    folders.extend(["/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib"].map(PathBuf::from));
    if let Ok(entries) = fs::read_dir("/usr/lib") {
        let llvm = entries.filter_map(Result::ok).map(|entry| entry.path());
        let llvm = llvm.filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("llvm"))
        });
        folders.extend(llvm.map(|path| path.join("lib")));
    }
    if let Ok(output) = Command::new(clang).arg("-print-resource-dir").output() {
        let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        folders.extend(Path::new(&text).ancestors().skip(1).take(3).map(Path::to_path_buf));
    }
    let found = folders.iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten();
    let found = found.filter_map(Result::ok).any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libclang.so") || name.starts_with("libclang-")
    });
    if !found {
        missing("libclang, which reads wire.h,", "libclang-14-dev (or libclang1-14)");
    }
}

/// The derives that read ring records without copying. IntoBytes is what makes hidden padding an error.
#[derive(Debug)]
struct Derives;

impl bindgen::callbacks::ParseCallbacks for Derives {
    fn add_derives(&self, info: &bindgen::callbacks::DeriveInfo<'_>) -> Vec<String> {
        let names: &[&str] = match info.kind {
            bindgen::callbacks::TypeKind::Enum => &["zerocopy::TryFromBytes"],
            _ => &[
                "zerocopy::FromBytes",
                "zerocopy::IntoBytes",
                "zerocopy::KnownLayout",
                "zerocopy::Immutable",
            ],
        };
        names.iter().map(|name| (*name).to_owned()).collect()
    }
}

fn generate(out: &Path) {
    let bindings = bindgen::Builder::default()
        .header("wire.h")
        .clang_args(["-DBLUBR_BINDGEN", "-target", "bpf"])
        .use_core()
        .layout_tests(true)
        .derive_debug(true)
        .derive_default(false)
        .rustified_enum("wire_kind|wire_field_id")
        .prepend_enum_name(false)
        .parse_callbacks(Box::new(Derives))
        .generate();
    match bindings {
        Ok(bindings) => bindings
            .write_to_file(out.join("wire.rs"))
            .expect("OUT_DIR is a folder that cargo has made for us"),
        Err(error) => {
            eprintln!("blubr-probes: bindgen could not read wire.h: {error}");
            exit(1);
        }
    }
}
