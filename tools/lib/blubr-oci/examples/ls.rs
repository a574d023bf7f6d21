//! dev
use blubr_oci::*;
fn main() {
    let r = Reference::parse(&std::env::args().nth(1).unwrap()).unwrap();
    let mut s = match open(&r, &Options::from_env()) {
        Ok(s) => s,
        Err(e) => {
            eprintln!("{e}");
            std::process::exit(2)
        }
    };
    let i = match s.image() {
        Ok(s) => s,
        Err(e) => {
            eprintln!("{e}");
            std::process::exit(2)
        }
    };
    println!(
        "engine {:?} manifest {:?} index {:?} config {} tags {:?}",
        i.engine_id.as_ref().map(|d| d.as_str()),
        i.manifest.as_ref().map(|m| m.digest.as_str()),
        i.index_digest,
        i.config_digest,
        i.tags
    );
    println!("{:?}", i.config.layers_of_history());
    for (n, l) in i.layers.iter().enumerate() {
        println!("layer {n} {} {:?}", l.diff_id, l.blob.as_ref().map(|b| b.media_type.clone()));
        let r = s.layer(n).unwrap();
        for e in blubr_image::layer::Entries::new(r, Some(&l.diff_id)).unwrap() {
            match e {
                Ok(e) => println!(
                    "  {:?} {} {:o} {} {} {:?} {}",
                    e.kind,
                    e.path.escape_ascii(),
                    e.mode,
                    e.uid,
                    e.size,
                    e.link.map(|l| l.escape_ascii().to_string()),
                    e.sha256.map(|d| d.to_string()).unwrap_or_default()
                ),
                Err(e) => {
                    println!("ERR {e}");
                }
            }
        }
    }
}
